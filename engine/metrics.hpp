#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/score_curves.hpp"
#include "io/safetensors.hpp"
#include "kernels/backend.hpp"

namespace esmm {

/// Metrics of one split. Names say their space: cvr_* cover clicked impressions, ctr_* and ctcvr_* all of them,
/// entire_space_* all of them against the truth of a synthetic world. A metric that is undefined has no value.
struct Metrics {
  std::vector<std::pair<std::string, std::optional<double>>> values;
  std::int64_t impressions = 0, clicks = 0, conversions = 0;
  std::vector<ScoreCurve> curves;  // of ctr, cvr and ctcvr, each over its space
  /// Standard deviation of pCVR over its mean, of the latest impressions (up to 65,536, clicked or not); not where the
  /// mean is 0.
  std::optional<double> pcvr_spread;

  [[nodiscard]] std::optional<double> value(const std::string& name) const;
};

/// The metrics that every evaluation has, in their order of display.
[[nodiscard]] const std::vector<std::string>& metric_names();
/// Whether larger is better; nullopt for calibrations, which want 1.
[[nodiscard]] std::optional<bool> larger_is_better(const std::string& name);

/// Collects logits and labels of impressions in the backend's memory, 10 bytes each, so that AUC is exact and global,
/// never an average over batches.
class MetricsCollector {
 public:
  /// With room for `capacity` impressions, whose second logit means what `read_out` says.
  MetricsCollector(Backend& backend, std::int64_t capacity, ReadOut read_out = ReadOut::factor);
  /// Enqueues copies of the logits [n, 2] and the labels of a batch's n impressions (more rows are padding), all in the
  /// backend's memory. Throws Error (internal) when there is no room left.
  void add(MatrixView<const float> logits, const BatchView& batch);
  /// Enqueues the removal of `count` impressions from position `first` on; those behind them move up.
  void remove(std::int64_t first, std::int64_t count);
  void clear() { size_ = 0; }
  /// Synchronises.
  [[nodiscard]] Metrics result() const;

  // Raw content, for checkpoints.
  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] std::int64_t capacity() const { return logits_.size() / kTowers; }
  [[nodiscard]] StridedTensor logits(std::string name) const;       // [n, 2]
  [[nodiscard]] std::vector<std::uint8_t> download_labels() const;  // [n] click + 2·conversion; synchronises
  /// From a file's tensors of these names. Throws Error (data) as SafetensorsFile does.
  void restore(const SafetensorsFile& file, const std::string& logits, const std::string& labels);

 private:
  [[nodiscard]] std::vector<ScoreCurve> curves() const;
  [[nodiscard]] std::optional<double> pcvr_spread() const;

  Backend* backend_;
  ReadOut read_out_;
  Buffer<float> logits_;                     // [capacity, 2]
  Buffer<std::uint8_t> click_, conversion_;  // [capacity]
  std::int64_t size_ = 0;
};

}  // namespace esmm
