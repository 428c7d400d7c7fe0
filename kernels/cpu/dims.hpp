#pragma once
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/simd.hpp"

namespace esmm::cpu {

/// Calls body(dim) with the common embedding dimensions as compile-time constants, so that its loops over a row unroll
/// and its sums stay in registers; with a plain integer otherwise. The body's results must not depend on which.
template <class Body>
ESMM_INLINE void with_dim(std::int64_t dim, const Body& body) {
  switch (dim) {
    case 8:
      return body(std::integral_constant<std::int64_t, 8>{});
    case 12:
      return body(std::integral_constant<std::int64_t, 12>{});
    case 16:
      return body(std::integral_constant<std::int64_t, 16>{});
    case 18:
      return body(std::integral_constant<std::int64_t, 18>{});
    case 32:
      return body(std::integral_constant<std::int64_t, 32>{});
    case 64:
      return body(std::integral_constant<std::int64_t, 64>{});
    default:
      return body(dim);
  }
}

/// Asks for the cache lines of `count` floats; there may be none.
template <class Dim>
ESMM_INLINE void prefetch_floats(const float* floats, Dim count) {
  constexpr std::int64_t kLine = 16;
  for (std::int64_t d = 0; d < count; d += kLine) __builtin_prefetch(floats + d);
  if (count > 1) __builtin_prefetch(floats + count - 1);  // rows need not start on a line
}

}  // namespace esmm::cpu
