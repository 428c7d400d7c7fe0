#pragma once
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/host_device.hpp"
#include "kernels/loss.hpp"
#include "kernels/optimizer.hpp"

namespace esmm {

/// What a step applies to: a dense parameter vector, or the touched rows of a table.
enum class UpdateScope { dense, touched_rows };

/// An OptimizerStep with everything that is constant over the step worked out, in double until the last rounding.
template <class T>
struct StepConstants {
  T learning_rate;
  T gradient_scale;  // 1; see with_gradient_scale
  T l2;
  T epsilon;
  T beta1, beta2;   // adam
  T gain1, gain2;   // adam: 1 - beta1, 1 - beta2
  T inverse_alpha;  // ftrl: 1 / α
  T ftrl_beta, ftrl_l1, ftrl_l2;
};

/// Adam divides by √v̂ + ε where v̂ = v / (1 - β2^t). Both sides of the fraction are multiplied by √(1 - β2^t), so that
/// one formula serves: torch.optim.Adam adds ε to √v̂, torch.optim.SparseAdam adds it to √v.
template <class T>
[[nodiscard]] StepConstants<T> step_constants(const OptimizerStep& optimizer, UpdateScope scope) {
  const OptimizerConfig& config = optimizer.config;
  double learning_rate = optimizer.learning_rate;
  double epsilon = config.epsilon;
  if (config.kind == OptimizerKind::adam) {
    const auto step = static_cast<double>(optimizer.step);
    const double correction1 = 1.0 - std::pow(static_cast<double>(config.beta1), step);
    const double correction2 = std::sqrt(1.0 - std::pow(static_cast<double>(config.beta2), step));
    learning_rate *= correction2 / correction1;
    if (scope == UpdateScope::dense) epsilon *= correction2;
  }
  return {
      .learning_rate = static_cast<T>(learning_rate),
      .gradient_scale = T{1},
      .l2 = static_cast<T>(optimizer.l2),
      .epsilon = static_cast<T>(epsilon),
      .beta1 = static_cast<T>(config.beta1),
      .beta2 = static_cast<T>(config.beta2),
      .gain1 = static_cast<T>(1.0 - static_cast<double>(config.beta1)),
      .gain2 = static_cast<T>(1.0 - static_cast<double>(config.beta2)),
      .inverse_alpha = static_cast<T>(1.0 / static_cast<double>(optimizer.learning_rate)),
      .ftrl_beta = static_cast<T>(config.ftrl_beta),
      .ftrl_l1 = static_cast<T>(config.ftrl_l1),
      .ftrl_l2 = static_cast<T>(config.ftrl_l2),
  };
}

/// The same with the step's gradient scale, which lies where the operation runs: read there, when it runs.
template <class T>
[[nodiscard]] ESMM_HD inline StepConstants<T> with_gradient_scale(StepConstants<T> constants, const float* scale) {
  if (scale != nullptr) constants.gradient_scale = static_cast<T>(*scale);
  return constants;
}

/// The factor that brings a gradient down to the norm `limit`: 1 if its norm is no greater, or no number.
[[nodiscard]] ESMM_HD inline float clipping_factor(double squared_norm, float limit) {
  const double norm = std::sqrt(squared_norm), greatest = static_cast<double>(limit);
  return norm > greatest ? static_cast<float>(greatest / norm) : 1.0F;
}

/// Whether a step with these losses and this squared norm of its gradients may move anything. No comparison with what
/// is no number holds.
[[nodiscard]] ESMM_HD inline bool is_finite(const TaskLosses& losses, double squared_norm) {
  constexpr double kLargest = std::numeric_limits<double>::max();
  constexpr auto kLargestFloat = static_cast<double>(std::numeric_limits<float>::max());
  return losses.ctr + losses.conversion + losses.auxiliary <= kLargest && squared_norm <= kLargestFloat;
}

/// OptimizerStep::skip, where the operation runs and when it runs.
[[nodiscard]] ESMM_HD inline bool is_skipped(const std::int64_t* skip) {
  return skip != nullptr && *skip != 0;
}

/// The gradient that the optimizers see.
template <class T>
ESMM_HD inline T effective_gradient(const StepConstants<T>& c, T gradient, T weight) {
  return c.gradient_scale * gradient + c.l2 * weight;
}

// One weight, one step; g is the effective gradient.

template <class T>
ESMM_HD inline void sgd_update(const StepConstants<T>& c, T g, T& weight) {
  weight -= c.learning_rate * g;
}

template <class T>
ESMM_HD inline void adagrad_update(const StepConstants<T>& c, T g, T& weight, T& sum) {
  sum += g * g;
  weight -= c.learning_rate * g / (std::sqrt(sum) + c.epsilon);
}

template <class T>
ESMM_HD inline void adam_update(const StepConstants<T>& c, T g, T& weight, T& m, T& v) {
  m = c.beta1 * m + c.gain1 * g;
  v = c.beta2 * v + c.gain2 * (g * g);
  weight -= c.learning_rate * m / (std::sqrt(v) + c.epsilon);
}

template <class T>
ESMM_HD inline void ftrl_update(const StepConstants<T>& c, T g, T& weight, T& z, T& n) {
  const T root = std::sqrt(n);
  n += g * g;
  const T new_root = std::sqrt(n);
  z += g - (new_root - root) * c.inverse_alpha * weight;
  const T shrunk = std::fabs(z) - c.ftrl_l1;
  const T solution = std::copysign(shrunk, -z) / ((c.ftrl_beta + new_root) * c.inverse_alpha + c.ftrl_l2);
  weight = shrunk > T{0} ? solution : T{0};
}

// Row-wise Adagrad: one accumulator for a row of weights.

/// Σ g² of a row in eight interleaved partial sums, an order that vector units can follow.
template <class T, class Dim>
ESMM_HD inline T squared_gradient_sum(const StepConstants<T>& c, const T* gradient, const T* weights, Dim dim) {
  constexpr int kLanes = 8;
  T lanes[kLanes] = {};
  const std::int64_t rest = dim % kLanes;
  const std::int64_t whole = dim - rest;
  for (std::int64_t d = 0; d < whole; d += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const T g = effective_gradient(c, gradient[d + lane], weights[d + lane]);
      lanes[lane] += g * g;
    }
  }
  for (std::int64_t lane = 0; lane < rest; ++lane) {
    const T g = effective_gradient(c, gradient[whole + lane], weights[whole + lane]);
    lanes[lane] += g * g;
  }
  T sum{0};
  for (const T lane : lanes) sum += lane;
  return sum;
}

/// The factor of g in this step's update of every weight of the row.
template <class T>
ESMM_HD inline T rowwise_adagrad_rate(const StepConstants<T>& c, T squared_sum, std::int64_t dim, T& accumulator) {
  accumulator += squared_sum / static_cast<T>(dim);
  return c.learning_rate / (std::sqrt(accumulator) + c.epsilon);
}

}  // namespace esmm
