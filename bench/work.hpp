#pragma once
#include "kernels/towers.hpp"

namespace esmm::bench {

/// Floating-point operations of one forward pass of both towers, the common half of the first layer done once per
/// common row. Backward takes twice as many.
[[nodiscard]] inline double forward_flop(const TowerShape& shape, double impressions, double common_rows) {
  const auto width = [](std::int64_t n) { return static_cast<double>(n); };
  const double first = width(shape.hidden.front());
  double products = first * (common_rows * width(shape.common_inputs) + impressions * width(shape.sample_inputs));
  for (std::size_t l = 0; l < shape.hidden.size(); ++l) {
    const double next = l + 1 < shape.hidden.size() ? width(shape.hidden[l + 1]) : 1.0;
    products += impressions * width(shape.hidden[l]) * next;
  }
  return 2.0 * kTowers * products;
}

}  // namespace esmm::bench
