#include "kernels/thread_pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

namespace esmm {
namespace {

TEST(ThreadPool, RunsEveryChunkExactlyOnceWhateverTheNumberOfThreads) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (const std::int64_t chunks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> seen(static_cast<std::size_t>(chunks));
      pool.for_each_chunk(chunks, [&](std::int64_t chunk, int thread) {
        ASSERT_LT(thread, threads);
        ++seen[static_cast<std::size_t>(chunk)];
      });
      for (const auto& count : seen) EXPECT_EQ(count.load(), 1);
    }
  }
}

TEST(ThreadPool, RunsLoopsWhetherItsThreadsAreAwakeOrAsleep) {
  ThreadPool pool(5);
  std::atomic<std::int64_t> sum{0};
  for (int loop = 0; loop < 300; ++loop) {
    if (loop % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(50 * (loop % 7)));  // they sleep after 100
    pool.for_each_chunk(11, [&](std::int64_t chunk, int) { sum += chunk; });
    ASSERT_EQ(sum.load(), (loop + 1) * 55);  // all chunks are done when the call returns
  }
}

TEST(ThreadPool, RethrowsTheErrorOfAChunkAndStaysUsable) {
  ThreadPool pool(3);
  const auto throwing = [](std::int64_t chunk, int) {
    if (chunk == 17) throw std::runtime_error("chunk 17");
  };
  EXPECT_THROW(pool.for_each_chunk(100, throwing), std::runtime_error);
  std::atomic<int> count{0};
  pool.for_each_chunk(100, [&](std::int64_t, int) { ++count; });
  EXPECT_EQ(count.load(), 100);
}

}  // namespace
}  // namespace esmm
