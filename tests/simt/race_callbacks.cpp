// What code that was compiled with -fsanitize=thread calls. The program does not link ThreadSanitizer: these are the
// only definitions. Host code comes here, too, and passes.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tests/simt/race_detector.hpp"

namespace {

inline void access(const void* address, std::size_t bytes, simt::Access kind, const void* caller) {
  if (simt::in_device_code) simt::watch->accessed(address, bytes, kind, caller);
}

}  // namespace

#define CALLER __builtin_return_address(0)

// A macro, because each name is a function of its own whose caller is the device code.
#define ACCESSES(bytes)                                  \
  void __tsan_read##bytes(void* p) {                     \
    access(p, bytes, simt::Access::read, CALLER);        \
  }                                                      \
  void __tsan_write##bytes(void* p) {                    \
    access(p, bytes, simt::Access::write, CALLER);       \
  }                                                      \
  void __tsan_unaligned_read##bytes(void* p) {           \
    access(p, bytes, simt::Access::read, CALLER);        \
  }                                                      \
  void __tsan_unaligned_write##bytes(void* p) {          \
    access(p, bytes, simt::Access::write, CALLER);       \
  }                                                      \
  void __tsan_volatile_read##bytes(void* p) {            \
    access(p, bytes, simt::Access::read, CALLER);        \
  }                                                      \
  void __tsan_volatile_write##bytes(void* p) {           \
    access(p, bytes, simt::Access::write, CALLER);       \
  }                                                      \
  void __tsan_unaligned_volatile_read##bytes(void* p) {  \
    access(p, bytes, simt::Access::read, CALLER);        \
  }                                                      \
  void __tsan_unaligned_volatile_write##bytes(void* p) { \
    access(p, bytes, simt::Access::write, CALLER);       \
  }

// The host's atomics keep their meaning; device code has its own (atomics.cpp).
#define ATOMICS(bits, type)                                                                                \
  type __tsan_atomic##bits##_load(const volatile type* p, int) {                                           \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                           \
  }                                                                                                        \
  void __tsan_atomic##bits##_store(volatile type* p, type v, int) {                                        \
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                                              \
  }                                                                                                        \
  type __tsan_atomic##bits##_exchange(volatile type* p, type v, int) {                                     \
    return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                                                    \
  }                                                                                                        \
  type __tsan_atomic##bits##_fetch_add(volatile type* p, type v, int) {                                    \
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);                                                     \
  }                                                                                                        \
  type __tsan_atomic##bits##_fetch_sub(volatile type* p, type v, int) {                                    \
    return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST);                                                     \
  }                                                                                                        \
  type __tsan_atomic##bits##_fetch_and(volatile type* p, type v, int) {                                    \
    return __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST);                                                     \
  }                                                                                                        \
  type __tsan_atomic##bits##_fetch_or(volatile type* p, type v, int) {                                     \
    return __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST);                                                      \
  }                                                                                                        \
  type __tsan_atomic##bits##_fetch_xor(volatile type* p, type v, int) {                                    \
    return __atomic_fetch_xor(p, v, __ATOMIC_SEQ_CST);                                                     \
  }                                                                                                        \
  bool __tsan_atomic##bits##_compare_exchange_strong(volatile type* p, type* expected, type v, int, int) { \
    return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);         \
  }                                                                                                        \
  bool __tsan_atomic##bits##_compare_exchange_weak(volatile type* p, type* expected, type v, int, int) {   \
    return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);         \
  }

extern "C" {

void __tsan_init() {
  simt::install_race_detector();
}
void __tsan_func_entry(void* /*caller*/) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void** /*pointer*/, void* /*value*/) {}
void __tsan_vptr_read(void** /*pointer*/) {}
void __tsan_read_range(void* p, std::size_t bytes) {
  access(p, bytes, simt::Access::read, CALLER);
}
void __tsan_write_range(void* p, std::size_t bytes) {
  access(p, bytes, simt::Access::write, CALLER);
}
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

ATOMICS(8, std::uint8_t)
ATOMICS(16, std::uint16_t)
ATOMICS(32, std::uint32_t)
ATOMICS(64, std::uint64_t)
void __tsan_atomic_thread_fence(int) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
}
void __tsan_atomic_signal_fence(int) {}

// Linked with --wrap: the block copies of device code are accesses, too.
void* __real_memcpy(void* to, const void* from, std::size_t bytes);
void* __real_memmove(void* to, const void* from, std::size_t bytes);
void* __real_memset(void* to, int value, std::size_t bytes);
void* __wrap_memcpy(void* to, const void* from, std::size_t bytes) {
  access(from, bytes, simt::Access::read, CALLER);
  access(to, bytes, simt::Access::write, CALLER);
  return __real_memcpy(to, from, bytes);
}
void* __wrap_memmove(void* to, const void* from, std::size_t bytes) {
  access(from, bytes, simt::Access::read, CALLER);
  access(to, bytes, simt::Access::write, CALLER);
  return __real_memmove(to, from, bytes);
}
void* __wrap_memset(void* to, int value, std::size_t bytes) {
  access(to, bytes, simt::Access::write, CALLER);
  return __real_memset(to, value, bytes);
}

}  // extern "C"
