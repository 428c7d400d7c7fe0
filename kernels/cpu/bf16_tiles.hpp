#pragma once
#include <cstring>

#include "kernels/cpu/bf16_product.hpp"
#include "kernels/cpu/simd.hpp"

// The blocking of Bf16Product, over a type Lanes that holds kLanes columns: Lanes::Pairs of operands, Lanes::Sums.
namespace esmm::cpu {

inline constexpr int kLanes = 16;
inline constexpr int kTileHeight = 4;   // rows of a tile: with four vectors 16 independent sums, which hide the latency
inline constexpr int kTileVectors = 4;  // of kLanes columns each

ESMM_INLINE Bf16Pair pair_at(const Bf16* a, std::size_t bytes) {
  Bf16Pair pair = 0;
  std::memcpy(&pair, a, bytes);
  return pair;
}

/// Rows [r, r + kRows), columns [n, n + (kVectors - 1)·kLanes + last_lanes).
template <class Lanes, int kRows, int kVectors>
ESMM_INLINE void multiply_tile(const Bf16Product& p, std::int64_t r, std::int64_t n, int last_lanes) {
  const auto lanes = [&](int v) __attribute__((always_inline)) {
    return v + 1 < kVectors ? kLanes : last_lanes;
  };
  typename Lanes::Sums sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      sums[i][v] = p.accumulate ? Lanes::load(p.c + (r + i) * p.c_stride + n + v * kLanes, lanes(v)) : Lanes::zero();
    }
  }
  const auto step = [&](std::int64_t q, std::size_t bytes) __attribute__((always_inline)) {
    typename Lanes::Pairs b[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) b[v] = Lanes::load_pairs(p.b + q * p.b_stride + n + v * kLanes, lanes(v));
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const auto a = Lanes::broadcast(pair_at(p.a + (r + i) * p.a_row + q * p.a_pair, bytes));
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[i][v] = Lanes::add_products(sums[i][v], a, b[v]);
    }
  };
  for (std::int64_t q = 0; q < p.depth / 2; ++q) step(q, sizeof(Bf16Pair));
  if (p.depth % 2 != 0) step(p.depth / 2, sizeof(Bf16));
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      Lanes::store(p.c + (r + i) * p.c_stride + n + v * kLanes, sums[i][v], lanes(v));
    }
  }
}

/// Columns [n, n + (kVectors - 1)·kLanes + last_lanes) of all rows.
template <class Lanes, int kVectors>
ESMM_INLINE void multiply_panel(const Bf16Product& p, std::int64_t n, int last_lanes) {
  constexpr int kRows = kVectors == 1 ? 2 * kTileHeight : kTileHeight;
  std::int64_t r = 0;
  for (; r + kRows <= p.rows; r += kRows) multiply_tile<Lanes, kRows, kVectors>(p, r, n, last_lanes);
  for (; r < p.rows; ++r) multiply_tile<Lanes, 1, kVectors>(p, r, n, last_lanes);
}

/// Panel by panel of b, which stays in the first-level cache while all rows of a pass by it.
template <class Lanes>
ESMM_INLINE void multiply_tiles(const Bf16Product& p) {
  constexpr std::int64_t kWidth = kTileVectors * kLanes;
  std::int64_t n = 0;
  for (; n + kWidth <= p.cols; n += kWidth) multiply_panel<Lanes, kTileVectors>(p, n, kLanes);
  if (n == p.cols) return;
  const auto vectors = static_cast<int>((p.cols - n + kLanes - 1) / kLanes);
  const int last_lanes = static_cast<int>(p.cols - n) - (vectors - 1) * kLanes;
  switch (vectors) {
    case 1:
      return multiply_panel<Lanes, 1>(p, n, last_lanes);
    case 2:
      return multiply_panel<Lanes, 2>(p, n, last_lanes);
    case 3:
      return multiply_panel<Lanes, 3>(p, n, last_lanes);
    default:
      return multiply_panel<Lanes, 4>(p, n, last_lanes);
  }
}

}  // namespace esmm::cpu
