// Compiled without instrumentation: to the race detector an atomic is one access, not a read and a write.
#include <algorithm>
#include <cstdint>

#include "tests/simt/thread.hpp"

namespace simt {
namespace {

template <class T>
T combine(AtomicOperation operation, T old, T value) {
  using Unsigned = std::make_unsigned_t<T>;
  switch (operation) {
    case AtomicOperation::add:
      return static_cast<T>(static_cast<Unsigned>(old) + static_cast<Unsigned>(value));
    case AtomicOperation::subtract:
      return static_cast<T>(static_cast<Unsigned>(old) - static_cast<Unsigned>(value));
    case AtomicOperation::maximum:
      return std::max(old, value);
    case AtomicOperation::minimum:
      return std::min(old, value);
    case AtomicOperation::exchange:
      return value;
    case AtomicOperation::bit_or:
      return old | value;
    case AtomicOperation::bit_and:
      return old & value;
    case AtomicOperation::bit_xor:
      return old ^ value;
  }
  return old;
}

template <class T>
void check(const T* address, const void* caller) {
  const HarnessScope scope;
  if (reinterpret_cast<std::uintptr_t>(address) % sizeof(T) != 0) raise_fault("an atomic at a misaligned address");
  touch(address, sizeof(T), Access::atomic, caller);
}

}  // namespace

template <class T>
T atomic_update(AtomicOperation operation, T* address, T value) {
  check(address, __builtin_return_address(0));
  const T old = *address;
  *address = combine(operation, old, value);
  return old;
}

template <class T>
T atomic_compare_and_swap(T* address, T expected, T desired) {
  check(address, __builtin_return_address(0));
  const T old = *address;
  if (old == expected) *address = desired;
  return old;
}

template int atomic_update(AtomicOperation, int*, int);
template unsigned atomic_update(AtomicOperation, unsigned*, unsigned);
template unsigned long long atomic_update(AtomicOperation, unsigned long long*, unsigned long long);
template int atomic_compare_and_swap(int*, int, int);
template unsigned atomic_compare_and_swap(unsigned*, unsigned, unsigned);
template unsigned long long atomic_compare_and_swap(unsigned long long*, unsigned long long, unsigned long long);

}  // namespace simt
