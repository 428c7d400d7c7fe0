#pragma once
#include <cstdint>
#include <memory>
#include <type_traits>

namespace esmm {

/// A fixed set of workers that run the chunks of one loop at a time. Chunks are numbered by the work, never by the
/// thread, so results cannot depend on the number of threads. Loops do not nest. Not for use from several threads.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // 0: one per core; the calling thread is one of them
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int threads() const { return threads_; }

  /// Calls body(chunk, thread) for every chunk in [0, chunks); returns when all are done. Which thread runs which
  /// chunk is not defined. The first exception thrown by a body is rethrown here. Does not allocate.
  template <class Body>
  void for_each_chunk(std::int64_t chunks, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run(
        chunks, [](void* context, std::int64_t chunk, int thread) { (*static_cast<Plain*>(context))(chunk, thread); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  using Call = void (*)(void* context, std::int64_t chunk, int thread);
  void run(std::int64_t chunks, Call call, void* context);

  struct State;
  std::unique_ptr<State> state_;
  int threads_;
};

}  // namespace esmm
