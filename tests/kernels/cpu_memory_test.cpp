#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/cpu/cpu_backend.hpp"

namespace esmm::cpu {
namespace {

TEST(CpuMemory, ZeroesLargeBuffersToTheLastByteAndNotBeyond) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    CpuMemory memory(pool);
    Buffer<char> buffer(memory, (std::int64_t{64} << 20) + 12'345);
    const std::span<char> bytes = buffer.span();
    EXPECT_EQ(std::count(bytes.begin(), bytes.end(), 0), buffer.size()) << "a new buffer";
    std::fill(bytes.begin(), bytes.end(), 1);
    memory.zero(bytes.data(), bytes.size() - 1);
    EXPECT_EQ(std::count(bytes.begin(), bytes.end(), 0), buffer.size() - 1);
    EXPECT_EQ(bytes.back(), 1);
  }
}

}  // namespace
}  // namespace esmm::cpu
