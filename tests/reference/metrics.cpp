#include "tests/reference/metrics.hpp"

#include <cstddef>

namespace esmm::reference {

std::optional<double> auc(std::span<const float> scores, std::span<const std::uint8_t> labels) {
  double won = 0.0;
  double pairs = 0.0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    for (std::size_t j = 0; j < scores.size(); ++j) {
      if (labels[i] == 0 || labels[j] != 0) continue;
      pairs += 1.0;
      if (scores[i] > scores[j]) won += 1.0;
      if (scores[i] == scores[j]) won += 0.5;
    }
  }
  if (pairs == 0.0) return std::nullopt;
  return won / pairs;
}

}  // namespace esmm::reference
