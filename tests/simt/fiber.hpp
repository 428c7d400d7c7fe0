#pragma once
#include <cstddef>
#include <memory>
#include <vector>

namespace simt {

/// A stack with a saved position on it. The operating system's own stack is a fiber without an allocation.
struct Fiber {
  void* stack_pointer = nullptr;
  const void* bottom = nullptr;  // lowest address, for AddressSanitizer
  std::size_t size = 0;
  void* fake_stack = nullptr;
  void* thread_sanitizer = nullptr;  // its view of this fiber
  void* first_stack_pointer = nullptr;
};

/// What a fiber runs when it is first switched to; it never returns.
using FiberEntry = void (*)();

/// Saves the caller in `from` and continues `to`.
void switch_fiber(Fiber& from, Fiber& to);
/// Leaves `from` for good: it is continued only after being reset.
[[noreturn]] void leave_fiber(Fiber& from, Fiber& to);
/// To be called first by every FiberEntry.
void arrive_in_fiber();
/// Makes a fiber of the operating system's stack that the caller is on.
void describe_own_stack(Fiber& fiber);

/// Stacks of 128 KiB, each above a guard page, made once and reused.
class FiberPool {
 public:
  explicit FiberPool(FiberEntry entry) : entry_(entry) {}
  ~FiberPool();
  FiberPool(const FiberPool&) = delete;
  FiberPool& operator=(const FiberPool&) = delete;

  [[nodiscard]] Fiber* take() {
    if (free_.empty()) grow();
    Fiber* fiber = free_.back();
    free_.pop_back();
    return fiber;
  }
  void give_back(Fiber* fiber) { free_.push_back(fiber); }
  /// Takes back the fibers that were left in the middle: none of them may be running.
  void reset();

 private:
  void grow();
  void prepare(Fiber& fiber) const;
  static void forget(Fiber& fiber);

  FiberEntry entry_;
  std::vector<std::unique_ptr<Fiber>> all_;
  std::vector<Fiber*> free_;
  std::vector<void*> mappings_;
};

}  // namespace simt
