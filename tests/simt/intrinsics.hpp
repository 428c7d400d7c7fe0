#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "tests/simt/thread.hpp"

// Atomics, bit tricks, cached loads and arithmetic, as CUDA declares them.
namespace simt::cuda {

// ---- Atomics: integers only. The order of floating-point additions would depend on the schedule. -------------------

template <class T>
concept AtomicInteger = std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, unsigned long long>;

template <AtomicInteger T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return atomic_update(AtomicOperation::add, address, value);
}
template <AtomicInteger T>
T atomicSub(T* address, std::type_identity_t<T> value) {
  return atomic_update(AtomicOperation::subtract, address, value);
}
template <AtomicInteger T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return atomic_update(AtomicOperation::maximum, address, value);
}
template <AtomicInteger T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return atomic_update(AtomicOperation::minimum, address, value);
}
template <AtomicInteger T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return atomic_update(AtomicOperation::exchange, address, value);
}
template <AtomicInteger T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return atomic_update(AtomicOperation::bit_or, address, value);
}
template <AtomicInteger T>
T atomicAnd(T* address, std::type_identity_t<T> value) {
  return atomic_update(AtomicOperation::bit_and, address, value);
}
template <AtomicInteger T>
T atomicXor(T* address, std::type_identity_t<T> value) {
  return atomic_update(AtomicOperation::bit_xor, address, value);
}
template <AtomicInteger T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> desired) {
  return atomic_compare_and_swap(address, expected, desired);
}

// Only one thread runs at a time, and the race detector does not count fences as an order.
inline void __threadfence() {}
inline void __threadfence_block() {}

// ---- Bits ----------------------------------------------------------------------------------------------------------

inline int __popc(unsigned x) {
  return std::popcount(x);
}
inline int __popcll(unsigned long long x) {
  return std::popcount(x);
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline int __ffsll(long long x) {
  return __builtin_ffsll(x);
}
inline int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
inline int __clzll(long long x) {
  return std::countl_zero(static_cast<unsigned long long>(x));
}
inline unsigned __brev(unsigned x) {
  unsigned result = 0;
  for (int bit = 0; bit < 32; ++bit) result |= ((x >> bit) & 1U) << (31 - bit);
  return result;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((std::uint64_t{a} * b) >> 32);
}
inline int __mulhi(int a, int b) {
  return static_cast<int>((std::int64_t{a} * b) >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}
inline unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
inline int __float_as_int(float x) {
  return std::bit_cast<int>(x);
}
inline float __uint_as_float(unsigned x) {
  return std::bit_cast<float>(x);
}
inline float __int_as_float(int x) {
  return std::bit_cast<float>(x);
}
inline long long __double_as_longlong(double x) {
  return std::bit_cast<long long>(x);
}
inline double __longlong_as_double(long long x) {
  return std::bit_cast<double>(x);
}

// ---- Loads and stores with a hint ----------------------------------------------------------------------------------

template <class T>
[[gnu::always_inline]] inline T __ldg(const T* address) {
  return *address;
}
template <class T>
[[gnu::always_inline]] inline T __ldcs(const T* address) {
  return *address;
}
template <class T>
[[gnu::always_inline]] inline T __ldcg(const T* address) {
  return *address;
}
template <class T>
[[gnu::always_inline]] inline void __stcs(T* address, std::type_identity_t<T> value) {
  *address = value;
}
template <class T>
[[gnu::always_inline]] inline void __stcg(T* address, std::type_identity_t<T> value) {
  *address = value;
}

// ---- Arithmetic ----------------------------------------------------------------------------------------------------

inline float __fmaf_rn(float a, float b, float c) {
  return std::fma(a, b, c);
}
inline double __fma_rn(double a, double b, double c) {
  return std::fma(a, b, c);
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fsub_rn(float a, float b) {
  return a - b;
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline float __fdiv_rn(float a, float b) {
  return a / b;
}
inline float __frcp_rn(float a) {
  return 1.0F / a;
}
inline float __fsqrt_rn(float a) {
  return std::sqrt(a);
}
inline double __dadd_rn(double a, double b) {
  return a + b;
}
inline double __dmul_rn(double a, double b) {
  return a * b;
}
inline float __fdividef(float a, float b) {
  return a / b;
}
inline float fast_expf(float x) {
  return std::exp(x);
}
inline float fast_logf(float x) {
  return std::log(x);
}
inline float fast_log2f(float x) {
  return std::log2(x);
}
inline float fast_powf(float x, float y) {
  return std::pow(x, y);
}
inline float __saturatef(float x) {
  return x > 0.0F ? std::min(x, 1.0F) : 0.0F;
}  // not a number gives 0
inline float rsqrtf(float x) {
  return 1.0F / std::sqrt(x);
}
inline double rsqrt(double x) {
  return 1.0 / std::sqrt(x);
}
inline int __float2int_rn(float x) {
  return static_cast<int>(std::nearbyint(x));
}
inline int __float2int_rz(float x) {
  return static_cast<int>(x);
}
inline float __int2float_rn(int x) {
  return static_cast<float>(x);
}
inline float __uint2float_rn(unsigned x) {
  return static_cast<float>(x);
}
inline float __double2float_rn(double x) {
  return static_cast<float>(x);
}

template <class A, class B>
concept Compared = std::is_arithmetic_v<A> && std::is_arithmetic_v<B>;

template <class A, class B>
requires Compared<A, B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>)
    return std::fmin(static_cast<T>(a), static_cast<T>(b));
  else
    return static_cast<T>(b) < static_cast<T>(a) ? static_cast<T>(b) : static_cast<T>(a);
}
template <class A, class B>
requires Compared<A, B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>)
    return std::fmax(static_cast<T>(a), static_cast<T>(b));
  else
    return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b) : static_cast<T>(a);
}

}  // namespace simt::cuda
