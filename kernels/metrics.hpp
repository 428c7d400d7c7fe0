#pragma once
#include <cstdint>
#include <optional>
#include <span>

namespace esmm {

class Backend;

/// Exact, tie-aware AUC over all given pairs: P(score⁺ > score⁻) + ½ P(score⁺ = score⁻), as the Mann-Whitney statistic
/// in integer arithmetic. nullopt when one class is missing. Scores must not be NaN (Error, internal).
/// Deterministic and independent of order. Source: Hanley & McNeil 1982; equals sklearn.metrics.roc_auc_score.
[[nodiscard]] std::optional<double> auc(Backend& backend, std::span<const float> scores,
                                        std::span<const std::uint8_t> labels);

}  // namespace esmm
