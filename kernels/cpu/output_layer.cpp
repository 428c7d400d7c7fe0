#include "kernels/cpu/output_layer.hpp"

#include <algorithm>

#include "kernels/cpu/simd.hpp"

namespace esmm::cpu {

namespace {

constexpr std::int64_t kUnits = 256;  // units whose weights or sums are kept at hand

/// The weights of some units, without the stride.
struct Column {
  Column(MatrixView<const float> weight, std::int64_t first) : count(std::min(kUnits, weight.rows - first)) {
    for (std::int64_t k = 0; k < count; ++k) at[k] = weight(first + k, 0);
  }
  std::int64_t count;
  alignas(64) float at[kUnits];
};

ESMM_VECTORIZED void add_products(MatrixView<const float> a, const Column& weight, MatrixView<float> logits) {
  constexpr std::int64_t kLanes = 16;
  const std::int64_t whole = weight.count / kLanes * kLanes;
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const float* x = a.row(r);
    float lanes[kLanes] = {};
    for (std::int64_t k = 0; k < whole; k += kLanes) {
      for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += x[k + lane] * weight.at[k + lane];
    }
    for (std::int64_t k = whole; k < weight.count; ++k) lanes[k - whole] += x[k] * weight.at[k];
    for (std::int64_t half = kLanes / 2; half > 0; half /= 2) {
      for (std::int64_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
    }
    logits(r, 0) += lanes[0];
  }
}

ESMM_VECTORIZED void multiply_outer(MatrixView<const float> dlogits, const Column& weight, MatrixView<float> da) {
  for (std::int64_t r = 0; r < da.rows; ++r) {
    const float factor = dlogits(r, 0);
    float* __restrict out = da.row(r);
    for (std::int64_t k = 0; k < weight.count; ++k) out[k] = factor * weight.at[k];
  }
}

ESMM_VECTORIZED void add_weighted_rows(MatrixView<const float> a, MatrixView<const float> dlogits,
                                       float* __restrict sums) {
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const float factor = dlogits(r, 0);
    const float* x = a.row(r);
    for (std::int64_t k = 0; k < a.cols; ++k) sums[k] += factor * x[k];
  }
}

}  // namespace

void output_forward(MatrixView<const float> a, MatrixView<const float> weight, float bias, MatrixView<float> logits) {
  for (std::int64_t r = 0; r < logits.rows; ++r) logits(r, 0) = bias;
  for (std::int64_t k = 0; k < a.cols; k += kUnits) {
    const Column units(weight, k);
    add_products(a.columns(k, units.count), units, logits);
  }
}

void output_dgrad(MatrixView<const float> dlogits, MatrixView<const float> weight, MatrixView<float> da) {
  for (std::int64_t k = 0; k < da.cols; k += kUnits) {
    const Column units(weight, k);
    multiply_outer(dlogits, units, da.columns(k, units.count));
  }
}

void output_wgrad(MatrixView<const float> a, MatrixView<const float> dlogits, MatrixView<float> dweight) {
  for (std::int64_t k = 0; k < a.cols; k += kUnits) {
    Column sums(dweight, k);
    add_weighted_rows(a.columns(k, sums.count), dlogits, sums.at);
    for (std::int64_t i = 0; i < sums.count; ++i) dweight(k + i, 0) = sums.at[i];
  }
}

}  // namespace esmm::cpu
