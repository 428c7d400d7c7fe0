#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "kernels/read_out.hpp"
#include "kernels/view.hpp"

namespace esmm {

class Backend;

/// Exact, tie-aware AUC over all given pairs: P(score⁺ > score⁻) + ½ P(score⁺ = score⁻), as the Mann-Whitney statistic
/// in integer arithmetic. nullopt when one class is missing. Scores must not be NaN (Error, internal).
/// Deterministic and independent of order. Source: Hanley & McNeil 1982; equals sklearn.metrics.roc_auc_score.
[[nodiscard]] std::optional<double> auc(Backend& backend, std::span<const float> scores,
                                        std::span<const std::uint8_t> labels);

/// One task over its own space.
struct TaskMetrics {
  std::optional<double> auc;
  double loss = 0, predicted = 0;         // sums over the impressions: of the binary cross-entropy, of the score
  std::int64_t count = 0, positives = 0;  // impressions
};

/// ctr (click by pCTR, all impressions), cvr (conversion by pCVR, the clicked ones), ctcvr (click·conversion by
/// pCTCVR, all). logits [n, 2] = (a, b), click and conversion [n], all in the backend's memory. Scores are floats;
/// losses are doubles in logit space, so that they stay finite where probabilities round to 1 (read_out.hpp).
/// Synchronises; deterministic. Throws Error (internal) where `auc` does.
[[nodiscard]] std::array<TaskMetrics, 3> task_metrics(Backend& backend, MatrixView<const float> logits,
                                                      ReadOut read_out, std::span<const std::uint8_t> click,
                                                      std::span<const std::uint8_t> conversion);

}  // namespace esmm
