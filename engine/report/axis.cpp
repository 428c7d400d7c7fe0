#include "engine/report/axis.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace esmm::report {

Axis Axis::covering(double low, double high, int ticks) {
  if (!(high > low)) {
    const double around = std::max(std::abs(low) * 0.1, 1e-6);
    low -= around;
    high += around;
  }
  const double rough = (high - low) / ticks;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double digit = rough / power;
  const double step = power * (digit <= 1.001 ? 1 : digit <= 2.001 ? 2 : digit <= 5.001 ? 5 : 10);
  constexpr double kSlack = 1e-9;  // of a step: a bound that is a multiple of it but for rounding
  return {std::floor(low / step + kSlack) * step, std::ceil(high / step - kSlack) * step, step};
}

std::vector<double> Axis::ticks() const {
  std::vector<double> ticks;
  const auto count = static_cast<int>(std::lround((high - low) / step));
  for (int i = 0; i <= count; ++i) ticks.push_back(low + i * step);
  return ticks;
}

std::string Axis::label(double tick) const {
  const double largest = std::max(std::abs(low), std::abs(high));
  const bool millions = largest >= 1e6, thousands = largest >= 1e4;
  const double unit = millions ? 1e6 : thousands ? 1e3 : 1.0;
  const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step / unit) - 1e-9)));
  const double value = std::abs(tick) < step * 1e-6 ? 0.0 : tick / unit;
  return fmt::format("{:.{}f}{}", value, decimals,
                     value == 0.0 ? ""
                     : millions   ? "\u202FM"
                     : thousands  ? "\u202Fk"
                                  : "");
}

}  // namespace esmm::report
