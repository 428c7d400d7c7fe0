#pragma once
#include <bit>
#include <cstdint>

#include "tests/simt/vector_types.hpp"

namespace simt {

/// Nearest even; not a number becomes 0x7FFF, as on the device.
constexpr std::uint16_t round_to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return 0x7FFF;
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}
constexpr float widen_bfloat16(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

namespace cuda {

struct __nv_bfloat16 {
  __nv_bfloat16() = default;
  constexpr __nv_bfloat16(float value) : bits(round_to_bfloat16(value)) {}  // NOLINT: as in CUDA
  constexpr operator float() const { return widen_bfloat16(bits); }         // NOLINT: as in CUDA

  std::uint16_t bits;
};

inline __nv_bfloat16 operator+(__nv_bfloat16 a, __nv_bfloat16 b) {
  return {float{a} + float{b}};
}
inline __nv_bfloat16 operator-(__nv_bfloat16 a, __nv_bfloat16 b) {
  return {float{a} - float{b}};
}
inline __nv_bfloat16 operator*(__nv_bfloat16 a, __nv_bfloat16 b) {
  return {float{a} * float{b}};
}
inline __nv_bfloat16 operator/(__nv_bfloat16 a, __nv_bfloat16 b) {
  return {float{a} / float{b}};
}
inline __nv_bfloat16 operator-(__nv_bfloat16 a) {
  return {-float{a}};
}
inline __nv_bfloat16& operator+=(__nv_bfloat16& a, __nv_bfloat16 b) {
  return a = a + b;
}
inline __nv_bfloat16& operator*=(__nv_bfloat16& a, __nv_bfloat16 b) {
  return a = a * b;
}

struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};

inline __nv_bfloat16 __float2bfloat16(float value) {
  return {value};
}
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  return {value};
}
inline float __bfloat162float(__nv_bfloat16 value) {
  return value;
}
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 value) {
  return value.bits;
}
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) {
  return std::bit_cast<__nv_bfloat16>(bits);
}

inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {{x}, {y}};
}
inline __nv_bfloat162 __float22bfloat162_rn(float2 value) {
  return {{value.x}, {value.y}};
}
inline __nv_bfloat162 __float2bfloat162_rn(float value) {
  return {{value}, {value}};
}
inline float2 __bfloat1622float2(__nv_bfloat162 value) {
  return {value.x, value.y};
}
inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) {
  return {x, y};
}
inline __nv_bfloat162 __bfloat162bfloat162(__nv_bfloat16 value) {
  return {value, value};
}
inline float __low2float(__nv_bfloat162 value) {
  return value.x;
}
inline float __high2float(__nv_bfloat162 value) {
  return value.y;
}
inline __nv_bfloat16 __low2bfloat16(__nv_bfloat162 value) {
  return value.x;
}
inline __nv_bfloat16 __high2bfloat16(__nv_bfloat162 value) {
  return value.y;
}

}  // namespace cuda
}  // namespace simt
