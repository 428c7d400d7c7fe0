#include "tests/simt/fiber.hpp"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <unordered_set>

#include "tests/simt/sanitizers.hpp"

#if !defined(__x86_64__) || !defined(__linux__)
#error "The fibers of tests/simt are written for x86-64 Linux"
#endif

extern "C" void simt_switch_stack(void** save_stack_pointer, void* stack_pointer);

// Saves the callee-saved registers on the old stack and takes those of the new one. The jump instead of a return
// spares the processor's return predictor, which would be wrong every time.
asm(R"(
.text
.p2align 4
.globl simt_switch_stack
.type simt_switch_stack, @function
simt_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmpq *%rcx
.size simt_switch_stack, .-simt_switch_stack
)");

namespace simt {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kStack = kAddressSanitizer ? 256 * 1024 : 128 * 1024;
constexpr std::size_t kStacksPerMapping = 64;
constexpr std::size_t kSavedRegisters = 6;

/// ThreadSanitizer keeps a call stack for each fiber. A switch orders what comes before and after it: races of device
/// code are the affair of the harness's own detector.
void announce([[maybe_unused]] const Fiber& to) {
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(to.thread_sanitizer, 0);
#endif
}

}  // namespace

void switch_fiber(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.fake_stack, to.bottom, to.size);
#endif
  announce(to);
  simt_switch_stack(&from.stack_pointer, to.stack_pointer);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

void leave_fiber(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(nullptr, to.bottom, to.size);
#endif
  announce(to);
  simt_switch_stack(&from.stack_pointer, to.stack_pointer);
  std::abort();  // nobody continues a fiber that was left
}

void arrive_in_fiber() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

void describe_own_stack([[maybe_unused]] Fiber& fiber) {
#if defined(__SANITIZE_THREAD__)
  fiber.thread_sanitizer = __tsan_get_current_fiber();
#endif
#if defined(__SANITIZE_ADDRESS__)
  thread_local Fiber own;  // asking takes long
  if (own.bottom == nullptr) {
    pthread_attr_t attributes;
    void* bottom = nullptr;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) throw std::bad_alloc();
    pthread_attr_getstack(&attributes, &bottom, &own.size);
    pthread_attr_destroy(&attributes);
    own.bottom = bottom;
  }
  fiber.bottom = own.bottom;
  fiber.size = own.size;
#endif
}

FiberPool::~FiberPool() {
  for (const auto& fiber : all_) forget(*fiber);
  for (void* mapping : mappings_) munmap(mapping, kStacksPerMapping * (kStack + kPage));
}

void FiberPool::grow() {
  const std::size_t bytes = kStacksPerMapping * (kStack + kPage);
  void* mapping = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  mappings_.push_back(mapping);
  for (std::size_t i = 0; i < kStacksPerMapping; ++i) {
    auto* guard = static_cast<std::byte*>(mapping) + i * (kStack + kPage);
    if (mprotect(guard, kPage, PROT_NONE) != 0) throw std::bad_alloc();
    auto fiber = std::make_unique<Fiber>();
    fiber->bottom = guard + kPage;
    fiber->size = kStack;
    // Stacks that all begin at the same place within a page would fight for the same lines of the cache.
    auto* top = guard + kPage + kStack - 64 * (all_.size() % 61);
    fiber->first_stack_pointer = top - (kSavedRegisters + 2) * sizeof(void*);
    prepare(*fiber);
    free_.push_back(fiber.get());
    all_.push_back(std::move(fiber));
  }
}

void FiberPool::prepare(Fiber& fiber) const {
  unpoison(fiber.bottom, fiber.size);
  fiber.fake_stack = nullptr;
#if defined(__SANITIZE_THREAD__)
  fiber.thread_sanitizer = __tsan_create_fiber(0);
#endif
  fiber.stack_pointer = fiber.first_stack_pointer;
  auto* slots = static_cast<void**>(fiber.first_stack_pointer);
  for (std::size_t i = 0; i < kSavedRegisters; ++i) slots[i] = nullptr;
  slots[kSavedRegisters] = reinterpret_cast<void*>(entry_);
  slots[kSavedRegisters + 1] = nullptr;  // where the entry would return to
}

void FiberPool::forget([[maybe_unused]] Fiber& fiber) {
#if defined(__SANITIZE_THREAD__)
  __tsan_destroy_fiber(fiber.thread_sanitizer);
#endif
}

void FiberPool::reset() {
  const std::unordered_set<const Fiber*> kept(free_.begin(), free_.end());
  for (const auto& fiber : all_) {
    if (kept.contains(fiber.get())) continue;
    forget(*fiber);
    prepare(*fiber);
    free_.push_back(fiber.get());
  }
}

}  // namespace simt
