#include "kernels/cpu/activation.hpp"

#include <algorithm>
#include <type_traits>

#include "kernels/cpu/simd.hpp"
#include "kernels/random.hpp"

namespace esmm::cpu {

namespace {

// A NaN is let through, so that it reaches the loss and is seen there.
ESMM_VECTORIZED void relu_tile(const float* __restrict bias, MatrixView<float> values) {
  for (std::int64_t r = 0; r < values.rows; ++r) {
    float* __restrict x = values.row(r);
    for (std::int64_t j = 0; j < values.cols; ++j) {
      const float z = x[j] + bias[j];
      x[j] = z < 0.0F ? 0.0F : z;
    }
  }
}

ESMM_VECTORIZED void prelu_tile(const float* __restrict bias, const float* __restrict slope, MatrixView<float> z,
                                MatrixView<float> out) {
  for (std::int64_t r = 0; r < z.rows; ++r) {
    float* __restrict x = z.row(r);
    float* __restrict y = out.row(r);
    for (std::int64_t j = 0; j < z.cols; ++j) {
      x[j] += bias[j];
      y[j] = x[j] > 0.0F ? x[j] : slope[j] * x[j];
    }
  }
}

constexpr std::int64_t kSummed = 64;  // columns whose sums are kept in registers

/// Calls body(first column, number of columns), a number known at compile time for all but the last call.
template <class Body>
ESMM_INLINE void for_each_column_block(std::int64_t cols, const Body& body) {
  std::int64_t begin = 0;
  for (; begin + kSummed <= cols; begin += kSummed) body(begin, std::integral_constant<std::int64_t, kSummed>{});
  if (begin < cols) body(begin, cols - begin);
}

ESMM_VECTORIZED void relu_backward_tile(MatrixView<const float> out, float scale, MatrixView<float> d,
                                        float* __restrict dbias) {
  for_each_column_block(
      d.cols, [&](std::int64_t begin, auto count) __attribute__((always_inline)) {
        float sums[kSummed] = {};
        for (std::int64_t r = 0; r < d.rows; ++r) {
          const float* y = out.row(r) + begin;
          float* __restrict g = d.row(r) + begin;
          for (std::int64_t j = 0; j < count; ++j) {
            g[j] = y[j] > 0.0F ? scale * g[j] : 0.0F;
            sums[j] += g[j];
          }
        }
        for (std::int64_t j = 0; j < count; ++j) dbias[begin + j] += sums[j];
      });
}

ESMM_VECTORIZED void prelu_backward_tile(MatrixView<const float> z, const float* __restrict slope, MatrixView<float> d,
                                         float* __restrict dbias, float* __restrict dslope) {
  for_each_column_block(
      d.cols, [&](std::int64_t begin, auto count) __attribute__((always_inline)) {
        float bias_sums[kSummed] = {}, slope_sums[kSummed] = {};
        for (std::int64_t r = 0; r < d.rows; ++r) {
          const float* x = z.row(r) + begin;
          float* __restrict g = d.row(r) + begin;
          for (std::int64_t j = 0; j < count; ++j) {
            slope_sums[j] += x[j] > 0.0F ? 0.0F : x[j] * g[j];
            g[j] = x[j] > 0.0F ? g[j] : slope[begin + j] * g[j];
            bias_sums[j] += g[j];
          }
        }
        for (std::int64_t j = 0; j < count; ++j) {
          dbias[begin + j] += bias_sums[j];
          dslope[begin + j] += slope_sums[j];
        }
      });
}

ESMM_VECTORIZED void add_column_sums_tile(MatrixView<const float> values, float* __restrict sums) {
  for_each_column_block(
      values.cols, [&](std::int64_t begin, auto count) __attribute__((always_inline)) {
        float block[kSummed] = {};
        for (std::int64_t r = 0; r < values.rows; ++r) {
          const float* x = values.row(r) + begin;
          for (std::int64_t j = 0; j < count; ++j) block[j] += x[j];
        }
        for (std::int64_t j = 0; j < count; ++j) sums[begin + j] += block[j];
      });
}

constexpr int kMaskGroups = 64;  // random words are drawn four units at a time, this many groups at once

struct MaskBlock {
  alignas(64) float factor[4 * kMaskGroups];
};

ESMM_VECTORIZED void draw_mask(std::uint64_t seed, RandomWords first, std::uint32_t threshold, float scale,
                               std::uint32_t groups, MaskBlock& block) {
  for (std::uint32_t g = 0; g < groups; ++g) {
    const RandomWords words = philox(seed, {first.x + g, first.y, first.z, first.w});
    block.factor[4 * g + 0] = words.x < threshold ? 0.0F : scale;
    block.factor[4 * g + 1] = words.y < threshold ? 0.0F : scale;
    block.factor[4 * g + 2] = words.z < threshold ? 0.0F : scale;
    block.factor[4 * g + 3] = words.w < threshold ? 0.0F : scale;
  }
}

ESMM_VECTORIZED void multiply(const float* __restrict factor, float* __restrict values, std::int64_t count) {
  for (std::int64_t j = 0; j < count; ++j) values[j] *= factor[j];
}

}  // namespace

void relu(std::span<const float> bias, MatrixView<float> values) {
  relu_tile(bias.data(), values);
}

void prelu(std::span<const float> bias, std::span<const float> slope, MatrixView<float> z, MatrixView<float> out) {
  prelu_tile(bias.data(), slope.data(), z, out);
}

void apply_dropout(const DropoutMask& mask, MatrixView<float> values) {
  const auto threshold = static_cast<std::uint32_t>(static_cast<double>(mask.rate) * 0x1p32);
  MaskBlock block;
  for (std::int64_t r = 0; r < values.rows; ++r) {
    for (std::int64_t j = 0; j < values.cols; j += 4 * kMaskGroups) {
      const std::int64_t units = std::min<std::int64_t>(values.cols - j, 4 * kMaskGroups);
      const RandomWords first{static_cast<std::uint32_t>(j / 4), static_cast<std::uint32_t>(mask.first_row + r),
                              mask.layer_and_tower, static_cast<std::uint32_t>(mask.step)};
      draw_mask(mask.seed, first, threshold, mask.scale(), static_cast<std::uint32_t>((units + 3) / 4), block);
      multiply(block.factor, values.row(r) + j, units);
    }
  }
}

void relu_backward(MatrixView<const float> out, float scale, MatrixView<float> d, std::span<float> dbias) {
  relu_backward_tile(out, scale, d, dbias.data());
}

void prelu_backward(MatrixView<const float> z, std::span<const float> slope, MatrixView<float> d,
                    std::span<float> dbias, std::span<float> dslope) {
  prelu_backward_tile(z, slope.data(), d, dbias.data(), dslope.data());
}

void add_column_sums(MatrixView<const float> values, std::span<float> sums) {
  add_column_sums_tile(values, sums.data());
}

}  // namespace esmm::cpu
