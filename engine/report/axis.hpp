#pragma once
#include <string>
#include <vector>

namespace esmm::report {

/// An axis with round numbers: its ticks are multiples of a step of 1, 2 or 5 times a power of ten.
struct Axis {
  double low = 0, high = 1, step = 0.2;

  /// Covers [low, high] with about `ticks` steps; a range that is empty is widened.
  [[nodiscard]] static Axis covering(double low, double high, int ticks = 4);
  [[nodiscard]] std::vector<double> ticks() const;
  /// With as many digits as the step needs: "0.25", "200", "12 k".
  [[nodiscard]] std::string label(double tick) const;
  /// 0 at the low end, 1 at the high one.
  [[nodiscard]] double share(double value) const { return (value - low) / (high - low); }
};

}  // namespace esmm::report
