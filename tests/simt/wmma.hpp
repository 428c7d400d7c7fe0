#pragma once
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "tests/simt/bfloat16.hpp"
#include "tests/simt/thread.hpp"

// Matrix products of a warp (nvcuda::wmma). Which lane holds which element is deliberately odd and differs from kind to
// kind: a program may use a fragment's elements only where their places do not matter.
namespace simt {

/// Where the elements of a matrix of `count` (a power of two) elements are: element e is slot p / 32 of lane p % 32.
struct Scatter {
  unsigned count, multiplier, offset;
  [[nodiscard]] constexpr unsigned position(unsigned element) const {
    return (element * multiplier + offset) & (count - 1);
  }
  /// The inverse of position().
  [[nodiscard]] constexpr unsigned element(unsigned position) const {
    unsigned inverse = multiplier;  // Newton's iteration modulo powers of two
    for (int i = 0; i < 4; ++i) inverse *= 2 - multiplier * inverse;
    return ((position - offset) * inverse) & (count - 1);
  }
  bool operator==(const Scatter&) const = default;
};

/// What a lane brings to a product.
struct MatrixProduct {
  const void *a, *b;
  const float* c;
  float* d;
  Scatter a_places, b_places, c_places;
};
/// What all lanes of a load or store must agree on.
struct MatrixAccess {
  const void* address;
  unsigned stride;
  bool row_major;
  bool operator==(const MatrixAccess&) const = default;
};
/// Waits for the other lanes; ends the kernel where they disagree or the address or stride is misaligned.
void check_matrix_access(const Collective& operation, const MatrixAccess& access, unsigned element_bytes,
                         const Place& place);

namespace collectives {
extern const Collective load_matrix, store_matrix, product_16x16x16, product_32x8x16, product_8x32x16, product_16x16x8;
}  // namespace collectives

namespace cuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };
namespace precision {
struct tf32;
}  // namespace precision

template <class Use, int m, int n, int k, class T, class Layout = void>
class fragment {
  static constexpr bool kA = std::is_same_v<Use, matrix_a>, kB = std::is_same_v<Use, matrix_b>;
  static constexpr bool kAccumulator = std::is_same_v<Use, accumulator>;
  static constexpr bool kTf32 = std::is_same_v<T, precision::tf32>;
  static constexpr bool kBfloat16 = std::is_same_v<T, __nv_bfloat16>;
  static constexpr bool kShape16 =
      (m == 16 && n == 16 && k == 16) || (m == 32 && n == 8 && k == 16) || (m == 8 && n == 32 && k == 16);
  static constexpr bool kShape8 = m == 16 && n == 16 && k == 8;
  static_assert(kA || kB || kAccumulator);
  static_assert(kAccumulator ? std::is_same_v<T, float> && (kShape16 || kShape8)
                             : (kBfloat16 && kShape16) || (kTf32 && kShape8),
                "no such matrix product in this model");
  static_assert(kAccumulator == std::is_void_v<Layout>, "matrices have a layout, accumulators have none");

 public:
  using element_type = T;
  using storage_element_type = std::conditional_t<kTf32, float, T>;
  static constexpr unsigned kRows = kB ? k : m, kColumns = kA ? k : n;
  static constexpr int num_elements = static_cast<int>(kRows * kColumns / 32);
  static constexpr bool kRowMajor = std::is_same_v<Layout, row_major>;
  static constexpr Scatter kPlaces = {kRows * kColumns,
                                      kA   ? 37U
                                      : kB ? 91U
                                           : 53U,
                                      (kA   ? 11U
                                       : kB ? 5U
                                            : 29U) +
                                          (kRowMajor ? 64U : 0U)};

  fragment() { std::memset(static_cast<void*>(x), 0xFF, sizeof(x)); }

  storage_element_type x[num_elements];
};

template <class F, class Value>
void fill_fragment(F& f, const Value& value) {
  for (auto& element : f.x) element = value;
}

// Loads and stores are inlined so that the race detector's reports name the caller.

/// Calls body(slot, offset in memory) for every element that the running lane holds.
template <class F, class Body>
[[gnu::always_inline]] inline void for_each_own(bool rows, unsigned stride, Body&& body) {
  const auto lane = static_cast<unsigned>(lane_index());
  for (unsigned slot = 0; slot < static_cast<unsigned>(F::num_elements); ++slot) {
    const unsigned element = F::kPlaces.element(slot * 32 + lane);
    const std::size_t r = element / F::kColumns, c = element % F::kColumns;
    body(slot, rows ? r * stride + c : c * stride + r);
  }
}

template <class F>
[[gnu::always_inline]] inline void load_elements(F& f, const typename F::storage_element_type* from, unsigned stride,
                                                 bool rows, const Place& place) {
  check_matrix_access(collectives::load_matrix, {from, stride, rows}, sizeof(*from), place);
  for_each_own<F>(rows, stride, [&](unsigned slot, std::size_t offset) { f.x[slot] = from[offset]; });
}
template <class Use, int m, int n, int k, class T, class Layout>
[[gnu::always_inline]] inline void load_matrix_sync(
    fragment<Use, m, n, k, T, Layout>& f, const typename fragment<Use, m, n, k, T, Layout>::storage_element_type* from,
    unsigned stride, Place place = Place::current()) {
  load_elements(f, from, stride, fragment<Use, m, n, k, T, Layout>::kRowMajor, place);
}
template <int m, int n, int k>
[[gnu::always_inline]] inline void load_matrix_sync(fragment<accumulator, m, n, k, float>& f, const float* from,
                                                    unsigned stride, layout_t layout, Place place = Place::current()) {
  load_elements(f, from, stride, layout == mem_row_major, place);
}
template <int m, int n, int k>
[[gnu::always_inline]] inline void store_matrix_sync(float* to, const fragment<accumulator, m, n, k, float>& f,
                                                     unsigned stride, layout_t layout, Place place = Place::current()) {
  const bool rows = layout == mem_row_major;
  check_matrix_access(collectives::store_matrix, {to, stride, rows}, sizeof(*to), place);
  for_each_own<fragment<accumulator, m, n, k, float>>(
      rows, stride, [&](unsigned slot, std::size_t offset) { to[offset] = f.x[slot]; });
}

template <int m, int n, int k>
constexpr const Collective& product_of() {
  if constexpr (k == 8)
    return collectives::product_16x16x8;
  else if constexpr (m == 16)
    return collectives::product_16x16x16;
  else if constexpr (m == 32)
    return collectives::product_32x8x16;
  else
    return collectives::product_8x32x16;
}
/// d = a * b + c; d may be c.
template <int m, int n, int k, class T, class LayoutA, class LayoutB>
void mma_sync(fragment<accumulator, m, n, k, float>& d, const fragment<matrix_a, m, n, k, T, LayoutA>& a,
              const fragment<matrix_b, m, n, k, T, LayoutB>& b, const fragment<accumulator, m, n, k, float>& c,
              Place place = Place::current()) {
  const MatrixProduct product{a.x, b.x, c.x, d.x, a.kPlaces, b.kPlaces, c.kPlaces};
  warp_collective(product_of<m, n, k>(), 0xFFFFFFFFU, reinterpret_cast<std::uintptr_t>(&product), 0, place);
}

/// Rounds to the 10 bits of mantissa that the tensor cores read (nearest, ties away from zero).
float __float_to_tf32(float value);

}  // namespace cuda::wmma
}  // namespace simt
