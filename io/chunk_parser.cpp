#include "io/chunk_parser.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>

namespace esmm {
namespace {

class OrderedPipeline {
 public:
  OrderedPipeline(std::size_t slots, const std::function<bool(std::size_t)>& read,
                  const std::function<void(std::size_t)>& work)
      : read_(read), work_(work), states_(slots) {}

  /// A worker's life: take the next item in order, work on it, hand it over.
  void serve() {
    for (;;) {
      std::uint64_t item = 0;
      {
        const std::lock_guard reading(reading_);
        if (!wait_for_room(item)) return;
        if (!guarded(item, [&] { return read_(item % states_.size()); })) return;
      }
      guarded(item, [&] {
        work_(item % states_.size());
        return true;
      });
      set_ready(item);
    }
  }

  void deliver_all(const std::function<void(std::size_t)>& deliver) {
    for (std::uint64_t item = 0;; ++item) {
      State& state = states_[item % states_.size()];
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return state.ready || item == end_; });
        if (state.error) std::rethrow_exception(state.error);
        if (item == end_) return;
      }
      deliver(item % states_.size());
      const std::lock_guard lock(mutex_);
      state.ready = false;
      delivered_ = item + 1;
      changed_.notify_all();
    }
  }

  void stop() {
    const std::lock_guard lock(mutex_);
    end_ = std::min(end_, next_);
    changed_.notify_all();
  }

 private:
  struct State {
    bool ready = false;
    std::exception_ptr error;
  };

  /// False when there is nothing more to read. Called under `reading_`.
  bool wait_for_room(std::uint64_t& item) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return next_ >= end_ || next_ < delivered_ + states_.size(); });
    if (next_ >= end_) return false;
    item = next_++;
    return true;
  }

  /// Runs a step of an item. False, or an exception, is the end of the input: nothing after it is read or delivered.
  template <class Step>
  bool guarded(std::uint64_t item, Step&& step) {
    std::exception_ptr error;
    try {
      if (step()) return true;
    } catch (...) {
      error = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    states_[item % states_.size()].error = error;
    end_ = std::min(end_, item);
    changed_.notify_all();
    return false;
  }

  void set_ready(std::uint64_t item) {
    const std::lock_guard lock(mutex_);
    states_[item % states_.size()].ready = true;
    changed_.notify_all();
  }

  const std::function<bool(std::size_t)>& read_;
  const std::function<void(std::size_t)>& work_;
  std::mutex reading_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<State> states_;
  std::uint64_t next_ = 0;       // item to read next
  std::uint64_t delivered_ = 0;  // items done
  std::uint64_t end_ = std::numeric_limits<std::uint64_t>::max();
};

}  // namespace

int worker_count(int threads) {
  if (threads > 0) return threads;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void run_in_order(int workers, std::size_t slots, const std::function<bool(std::size_t)>& read,
                  const std::function<void(std::size_t)>& work, const std::function<void(std::size_t)>& deliver) {
  if (workers == 1) {
    for (std::size_t slot = 0; read(slot); slot = (slot + 1) % slots) {
      work(slot);
      deliver(slot);
    }
    return;
  }
  OrderedPipeline pipeline(slots, read, work);
  std::vector<std::jthread> threads;
  try {
    for (int i = 0; i < workers; ++i) threads.emplace_back([&] { pipeline.serve(); });
    pipeline.deliver_all(deliver);
  } catch (...) {
    pipeline.stop();
    throw;  // the workers are joined while it unwinds
  }
}

}  // namespace esmm
