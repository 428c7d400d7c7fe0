#include "kernels/thread_pool.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "kernels/error.hpp"

namespace esmm {

namespace {

/// Returns when the value is another. A sleeping thread takes tens of microseconds to wake, as long as a small loop
/// runs, so it stays awake for that long, letting others have the core.
template <class T>
T await_change(const std::atomic<T>& value, T old) {
  constexpr std::chrono::microseconds kAwake{100};
  const auto enough = std::chrono::steady_clock::now() + kAwake;
  while (value.load(std::memory_order_acquire) == old) {
    if (std::chrono::steady_clock::now() < enough) {
      std::this_thread::yield();
    } else {
      value.wait(old, std::memory_order_acquire);
    }
  }
  return value.load(std::memory_order_acquire);
}

}  // namespace

struct ThreadPool::State {
  std::atomic<std::uint32_t> generation{0};  // counts loops; a worker that sees a new one joins it
  std::atomic<int> running{0};               // workers that have not finished the current loop
  bool stopping = false;

  // The current loop. Written before the generation moves on, while no worker runs.
  Call call = nullptr;
  void* context = nullptr;
  std::int64_t chunks = 0;
  std::atomic<std::int64_t> next_chunk{0};
  std::mutex error_mutex;
  std::exception_ptr error;

  std::vector<std::jthread> workers;

  void begin_generation() {
    generation.fetch_add(1, std::memory_order_release);
    generation.notify_all();
  }

  void stop() {
    stopping = true;
    begin_generation();
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
      const std::lock_guard lock(error_mutex);
      if (!error) error = std::current_exception();
    }
  }

  void worker_loop(int thread) {
    std::uint32_t seen = 0;
    for (;;) {
      seen = await_change(generation, seen);
      if (stopping) return;
      work(thread);
      if (running.fetch_sub(1, std::memory_order_release) == 1) running.notify_one();
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
  s.call = call;
  s.context = context;
  s.chunks = chunks;
  s.next_chunk.store(0, std::memory_order_relaxed);
  s.error = nullptr;
  s.running.store(threads_ - 1, std::memory_order_relaxed);
  s.begin_generation();
  s.work(0);
  for (int left = s.running.load(std::memory_order_acquire); left > 0;) left = await_change(s.running, left);
  if (s.error) std::rethrow_exception(s.error);
}

}  // namespace esmm
