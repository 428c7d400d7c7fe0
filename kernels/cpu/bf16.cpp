#include "kernels/cpu/bf16.hpp"

#include <bit>

#include "kernels/cpu/bf16_tiles.hpp"
#include "kernels/cpu/simd.hpp"

namespace esmm::cpu {

namespace {

ESMM_INLINE Bf16Pair rounded(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t nearest = (bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U;
  const std::uint32_t quiet_nan = (bits >> 16U) | 0x40U;
  return (bits & 0x7FFFFFFFU) > 0x7F800000U ? quiet_nan : nearest;
}
ESMM_INLINE Bf16Pair rounded(Bf16 value) {
  return value;
}
ESMM_INLINE float widened(Bf16Pair half) {
  return std::bit_cast<float>(half << 16U);
}

template <class T>
ESMM_INLINE void pair_rows_of(MatrixView<const T> from, MatrixView<Bf16Pair> to) {
  for (std::int64_t p = 0; p < to.rows; ++p) {
    const T* low = from.row(2 * p);
    const bool is_whole = 2 * p + 1 < from.rows;
    const T* high = is_whole ? from.row(2 * p + 1) : low;
    const Bf16Pair keep = is_whole ? 0xFFFFFFFFU : 0xFFFFU;
    Bf16Pair* __restrict out = to.row(p);
    for (std::int64_t c = 0; c < from.cols; ++c) out[c] = (rounded(low[c]) | (rounded(high[c]) << 16U)) & keep;
  }
}

ESMM_VECTORIZED void round_tile(MatrixView<const float> from, MatrixView<Bf16> to) {
  for (std::int64_t r = 0; r < from.rows; ++r) {
    const float* x = from.row(r);
    Bf16* __restrict out = to.row(r);
    for (std::int64_t c = 0; c < from.cols; ++c) out[c] = static_cast<Bf16>(rounded(x[c]));
  }
}

ESMM_VECTORIZED void widen_tile(MatrixView<const Bf16> from, MatrixView<float> to) {
  for (std::int64_t r = 0; r < from.rows; ++r) {
    const Bf16* x = from.row(r);
    float* __restrict out = to.row(r);
    for (std::int64_t c = 0; c < from.cols; ++c) out[c] = widened(x[c]);
  }
}

ESMM_VECTORIZED void pair_rows_of_floats(MatrixView<const float> from, MatrixView<Bf16Pair> to) {
  pair_rows_of(from, to);
}
ESMM_VECTORIZED void pair_rows_of_bf16(MatrixView<const Bf16> from, MatrixView<Bf16Pair> to) {
  pair_rows_of(from, to);
}

struct PortableLanes {
  struct Pairs {
    Bf16Pair at[kLanes];
  };
  struct Sums {
    float at[kLanes];
  };

  static Sums zero() { return {}; }
  static Sums load(const float* from, int lanes) {
    Sums sums{};
    std::memcpy(sums.at, from, sizeof(float) * static_cast<std::size_t>(lanes));
    return sums;
  }
  static void store(float* to, const Sums& sums, int lanes) {
    std::memcpy(to, sums.at, sizeof(float) * static_cast<std::size_t>(lanes));
  }
  static Pairs load_pairs(const Bf16Pair* from, int lanes) {
    Pairs pairs{};
    std::memcpy(pairs.at, from, sizeof(Bf16Pair) * static_cast<std::size_t>(lanes));
    return pairs;
  }
  static Pairs broadcast(Bf16Pair pair) {
    Pairs pairs;
    for (Bf16Pair& lane : pairs.at) lane = pair;
    return pairs;
  }
  static Sums add_products(Sums sums, const Pairs& a, const Pairs& b) {
    for (int i = 0; i < kLanes; ++i) {
      sums.at[i] += widened(a.at[i] & 0xFFFFU) * widened(b.at[i] & 0xFFFFU);
      sums.at[i] += widened(a.at[i] >> 16U) * widened(b.at[i] >> 16U);
    }
    return sums;
  }
};

void multiply(const Bf16Product& product) {
  static const bool has_instructions = has_bf16_instructions();
  has_instructions ? multiply_bf16_avx512(product) : multiply_bf16_portable(product);
}

}  // namespace

void multiply_bf16_portable(const Bf16Product& product) {
  multiply_tiles<PortableLanes>(product);
}

void round_to_bf16(MatrixView<const float> from, MatrixView<Bf16> to) {
  round_tile(from, to);
}

void widen_to_float(MatrixView<const Bf16> from, MatrixView<float> to) {
  widen_tile(from, to);
}

void pair_rows(MatrixView<const float> from, MatrixView<Bf16Pair> to) {
  pair_rows_of_floats(from, to);
}
void pair_rows(MatrixView<const Bf16> from, MatrixView<Bf16Pair> to) {
  pair_rows_of_bf16(from, to);
}

void pair_columns(MatrixView<const float> from, MatrixView<Bf16Pair> to) {
  for (std::int64_t r = 0; r < from.rows; ++r) {
    const float* x = from.row(r);
    for (std::int64_t p = 0; p < to.rows; ++p) {
      to(p, r) = rounded(x[2 * p]) | (2 * p + 1 < from.cols ? rounded(x[2 * p + 1]) << 16U : 0U);
    }
  }
}

void gemm_bf16(MatrixView<const Bf16> a, MatrixView<const Bf16Pair> b, MatrixView<float> c, Gemm mode) {
  multiply({a.data, a.stride, 2, b.data, b.stride, c.data, c.stride, c.rows, c.cols, a.cols, mode == Gemm::accumulate});
}

void gemm_bf16_transposed_a(MatrixView<const Bf16Pair> a, MatrixView<const Bf16Pair> b, MatrixView<float> c,
                            Gemm mode) {
  multiply({reinterpret_cast<const Bf16*>(a.data), 2, 2 * a.stride, b.data, b.stride, c.data, c.stride, c.rows, c.cols,
            2 * a.rows, mode == Gemm::accumulate});
}

}  // namespace esmm::cpu
