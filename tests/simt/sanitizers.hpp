#pragma once
#include <cstddef>

// Which sanitizer this library is built with, and its calls under names that always exist.
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace simt {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAddressSanitizer = true;
inline void poison(const void* from, std::size_t bytes) {
  __asan_poison_memory_region(from, bytes);
}
inline void unpoison(const void* from, std::size_t bytes) {
  __asan_unpoison_memory_region(from, bytes);
}
#else
inline constexpr bool kAddressSanitizer = false;
inline void poison(const void* /*from*/, std::size_t /*bytes*/) {}
inline void unpoison(const void* /*from*/, std::size_t /*bytes*/) {}
#endif

}  // namespace simt
