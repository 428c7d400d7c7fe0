#pragma once
#include <cstdint>
#include <span>

#include "kernels/view.hpp"

// Element-wise operations on a tile of hidden units: rows are impressions, columns are the units of one layer of one
// tower. All run in place on the calling thread.
namespace esmm::cpu {

/// values = max(values + bias, 0).
void relu(std::span<const float> bias, MatrixView<float> values);

/// z += bias; out = z where z > 0, else slope·z. Source: arXiv:1502.01852.
void prelu(std::span<const float> bias, std::span<const float> slope, MatrixView<float> z, MatrixView<float> out);

/// Names a tile's dropout mask: unit u of row r is dropped where word u mod 4 of philox(seed, {u/4, first_row + r,
/// layer·2 + tower, step}) is below rate·2^32 (of 64-bit values the low word counts).
struct DropoutMask {
  float rate;  // 0: dropout is off
  std::uint64_t seed;
  std::uint64_t step;
  std::uint32_t layer_and_tower;
  std::int64_t first_row;

  [[nodiscard]] float scale() const { return 1.0F / (1.0F - rate); }
};

/// Multiplies dropped units by 0 and the others by mask.scale().
void apply_dropout(const DropoutMask& mask, MatrixView<float> values);

/// d: in ∂L/∂out, out ∂L/∂z = scale·d where the unit let its input through (out > 0), else 0; dbias += column sums.
void relu_backward(MatrixView<const float> out, float scale, MatrixView<float> d, std::span<float> dbias);

/// d: in ∂L/∂out, out ∂L/∂z; dbias and dslope += column sums of ∂L/∂z and of z·∂L/∂out over negative z.
void prelu_backward(MatrixView<const float> z, std::span<const float> slope, MatrixView<float> d,
                    std::span<float> dbias, std::span<float> dslope);

/// sums += column sums of values.
void add_column_sums(MatrixView<const float> values, std::span<float> sums);

}  // namespace esmm::cpu
