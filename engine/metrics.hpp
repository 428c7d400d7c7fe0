#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.hpp"

namespace esmm {

/// Metrics of one split. Names say their space: cvr_* cover clicked impressions, ctr_* and ctcvr_* all of them,
/// entire_space_* all of them against the truth of a synthetic world. A metric that is undefined has no value.
struct Metrics {
  std::vector<std::pair<std::string, std::optional<double>>> values;
  std::int64_t impressions = 0, clicks = 0, conversions = 0;

  [[nodiscard]] std::optional<double> value(const std::string& name) const;
};

/// The metrics that every evaluation has, in their order of display.
[[nodiscard]] const std::vector<std::string>& metric_names();
/// Whether larger is better; nullopt for calibrations, which want 1.
[[nodiscard]] std::optional<bool> larger_is_better(const std::string& name);

/// Collects logits and labels of impressions, 9 bytes each, so that AUC is exact and global, never an average over
/// batches.
class MetricsCollector {
 public:
  void reserve(std::int64_t impressions);
  void add(MatrixView<const float> logits, std::span<const std::uint8_t> click,
           std::span<const std::uint8_t> conversion);
  void clear();
  [[nodiscard]] Metrics result(Backend& backend) const;

  /// Raw content, for checkpoints: logits [n, 2], labels [n] = click + 2·conversion.
  [[nodiscard]] const std::vector<float>& logits() const { return logits_; }
  [[nodiscard]] const std::vector<std::uint8_t>& labels() const { return labels_; }
  void restore(std::vector<float> logits, std::vector<std::uint8_t> labels);

 private:
  std::vector<float> logits_;
  std::vector<std::uint8_t> labels_;
};

}  // namespace esmm
