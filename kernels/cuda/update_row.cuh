#pragma once
#include "kernels/cuda/command_queue.hpp"
#include "kernels/cuda/groups.cuh"
#include "kernels/optimizer_math.hpp"

namespace esmm::ESMM_DEVICE_NAMESPACE {

/// What is constant over a step, as kernels take it: both parts lie in device memory and are read when the kernel runs.
struct DeviceStep {
  DeviceStep(CommandQueue& queue, const OptimizerStep& optimizer, UpdateScope scope)
      : constants(queue.constant(step_constants<float>(optimizer, scope))),
        gradient_scale(optimizer.gradient_scale),
        skip(optimizer.skip) {}
  [[nodiscard]] __device__ StepConstants<float> load() const { return with_gradient_scale(*constants, gradient_scale); }
  [[nodiscard]] __device__ bool skipped() const { return is_skipped(skip); }

  const StepConstants<float>* constants;
  const float* gradient_scale;  // or null
  const std::int64_t* skip;     // or null
};

/// One optimizer step on one weight whose state lies in up to two slots.
template <OptimizerKind kind>
__device__ inline void step_element(const StepConstants<float>& c, float gradient, float& weight, float& slot0,
                                    float& slot1) {
  const float g = effective_gradient(c, gradient, weight);
  if constexpr (kind == OptimizerKind::sgd) sgd_update(c, g, weight);
  if constexpr (kind == OptimizerKind::adagrad) adagrad_update(c, g, weight, slot0);
  if constexpr (kind == OptimizerKind::adam) adam_update(c, g, weight, slot0, slot1);
  if constexpr (kind == OptimizerKind::ftrl) ftrl_update(c, g, weight, slot0, slot1);
}

/// State slots of `dim` floats each.
template <OptimizerKind kind>
inline constexpr int kSlots = kind == OptimizerKind::adam || kind == OptimizerKind::ftrl ? 2
                              : kind == OptimizerKind::adagrad                           ? 1
                                                                                         : 0;

/// One optimizer step on a row of `dim` weights by one group. Every lane reads the elements of `gradient` that it
/// would write: W floats at lane·W, and so on at strides of lanes·W.
template <OptimizerKind kind, int W>
__device__ inline void step_row(const Group& group, const StepConstants<float>& c, std::int64_t dim,
                                const float* gradient, float* weights, float* state) {
  const std::int64_t first = group.lane * W, stride = group.lanes * W;
  if constexpr (kind == OptimizerKind::rowwise_adagrad) {
    float squares = 0.0F;
    for (std::int64_t d = first; d < dim; d += stride) {
      for (int w = 0; w < W; ++w) {
        const float g = effective_gradient(c, gradient[d + w], weights[d + w]);
        squares += g * g;
      }
    }
    for (unsigned distance = group.lanes / 2; distance > 0; distance /= 2) {  // every lane gets the same sum
      squares += __shfl_xor_sync(group.mask(), squares, static_cast<int>(distance));
    }
    float accumulator = *state;
    __syncwarp(group.mask());  // all have read it
    const float rate = rowwise_adagrad_rate(c, squares, dim, accumulator);
    if (group.lane == 0) *state = accumulator;
    for (std::int64_t d = first; d < dim; d += stride) {
      for (int w = 0; w < W; ++w) weights[d + w] -= rate * effective_gradient(c, gradient[d + w], weights[d + w]);
    }
  } else {
    for (std::int64_t d = first; d < dim; d += stride) {
      Pack<W> weight = load<W>(weights + d), slot0{}, slot1{};
      if constexpr (kSlots < kind >> 0) slot0 = load<W>(state + d);
      if constexpr (kSlots < kind >> 1) slot1 = load<W>(state + dim + d);
      for (int w = 0; w < W; ++w) step_element<kind>(c, gradient[d + w], weight.v[w], slot0.v[w], slot1.v[w]);
      store(weights + d, weight);
      if constexpr (kSlots < kind >> 0) store(state + d, slot0);
      if constexpr (kSlots < kind >> 1) store(state + dim + d, slot1);
    }
  }
}

/// Calls launch.operator()<kind>() with the kind as a constant.
template <class Launch>
void with_kind(OptimizerKind kind, const Launch& launch) {
  using enum OptimizerKind;
  switch (kind) {
    case sgd:
      return launch.template operator()<sgd>();
    case adagrad:
      return launch.template operator()<adagrad>();
    case rowwise_adagrad:
      return launch.template operator()<rowwise_adagrad>();
    case adam:
      return launch.template operator()<adam>();
    case ftrl:
      return launch.template operator()<ftrl>();
  }
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
