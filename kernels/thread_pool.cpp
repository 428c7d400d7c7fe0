#include "kernels/thread_pool.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "kernels/error.hpp"

namespace esmm {

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable work_ready;
  std::condition_variable work_done;
  std::uint64_t generation = 0;  // counts loops; a worker that sees a new one joins it
  int running = 0;               // workers that have not finished the current loop
  bool stopping = false;

  // The current loop. Written under the mutex before the generation moves on.
  Call call = nullptr;
  void* context = nullptr;
  std::int64_t chunks = 0;
  std::atomic<std::int64_t> next_chunk{0};
  std::exception_ptr error;

  std::vector<std::jthread> workers;

  void stop() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    work_ready.notify_all();
  }

  void work(int thread) {
    try {
      for (;;) {
        const std::int64_t chunk = next_chunk.fetch_add(1, std::memory_order_relaxed);
        if (chunk >= chunks) return;
        call(context, chunk, thread);
      }
    } catch (...) {
      next_chunk.store(chunks, std::memory_order_relaxed);  // the others stop after their current chunk
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
  }

  void worker_loop(int thread) {
    std::uint64_t seen = 0;
    for (;;) {
      {
        std::unique_lock lock(mutex);
        work_ready.wait(lock, [&] { return stopping || generation != seen; });
        if (stopping) return;
        seen = generation;
      }
      work(thread);
      const std::lock_guard lock(mutex);
      if (--running == 0) work_done.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int threads)
    : state_(std::make_unique<State>()),
      threads_(threads > 0 ? threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()))) {
  state_->workers.reserve(static_cast<std::size_t>(threads_));
  try {
    for (int t = 1; t < threads_; ++t) {
      state_->workers.emplace_back([state = state_.get(), t] { state->worker_loop(t); });
    }
  } catch (const std::system_error& error) {
    state_->stop();  // or the threads that did start would be waited for without end
    throw device_error("{} threads cannot be started ({}). Lower --threads.", threads_, error.what());
  }
}

ThreadPool::~ThreadPool() {
  state_->stop();
}

void ThreadPool::run(std::int64_t chunks, Call call, void* context) {
  if (chunks <= 0) return;
  if (threads_ == 1 || chunks == 1) {
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) call(context, chunk, 0);
    return;
  }
  State& s = *state_;
  {
    const std::lock_guard lock(s.mutex);
    s.call = call;
    s.context = context;
    s.chunks = chunks;
    s.next_chunk.store(0, std::memory_order_relaxed);
    s.error = nullptr;
    s.running = threads_ - 1;
    ++s.generation;
  }
  s.work_ready.notify_all();
  s.work(0);
  std::unique_lock lock(s.mutex);
  s.work_done.wait(lock, [&] { return s.running == 0; });
  if (s.error) std::rethrow_exception(s.error);
}

}  // namespace esmm
