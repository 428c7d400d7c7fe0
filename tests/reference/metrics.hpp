#pragma once
#include <cstdint>
#include <optional>
#include <span>

namespace esmm::reference {

/// AUC by comparing every positive with every negative.
[[nodiscard]] std::optional<double> auc(std::span<const float> scores, std::span<const std::uint8_t> labels);

}  // namespace esmm::reference
