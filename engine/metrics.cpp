#include "engine/metrics.hpp"

#include <algorithm>

#include "kernels/loss_math.hpp"

namespace esmm {

std::optional<double> Metrics::value(const std::string& name) const {
  for (const auto& [key, value] : values) {
    if (key == name) return value;
  }
  return std::nullopt;
}

const std::vector<std::string>& metric_names() {
  static const std::vector<std::string> names{"ctr_auc",         "cvr_auc",         "ctcvr_auc",
                                              "ctr_logloss",     "cvr_logloss",     "ctcvr_logloss",
                                              "ctr_calibration", "cvr_calibration", "ctcvr_calibration"};
  return names;
}

std::optional<bool> larger_is_better(const std::string& name) {
  if (name.ends_with("_auc")) return true;
  if (name.ends_with("_logloss")) return false;
  return std::nullopt;
}

void MetricsCollector::reserve(std::int64_t impressions) {
  logits_.reserve(static_cast<std::size_t>(impressions) * kTowers);
  labels_.reserve(static_cast<std::size_t>(impressions));
}

void MetricsCollector::add(MatrixView<const float> logits, std::span<const std::uint8_t> click,
                           std::span<const std::uint8_t> conversion) {
  for (std::int64_t r = 0; r < logits.rows; ++r) logits_.insert(logits_.end(), logits.row(r), logits.row(r) + kTowers);
  for (std::size_t r = 0; r < click.size(); ++r) {
    labels_.push_back(static_cast<std::uint8_t>(click[r] | (conversion[r] << 1)));
  }
}

void MetricsCollector::clear() {
  logits_.clear();
  labels_.clear();
}

void MetricsCollector::restore(std::vector<float> logits, std::vector<std::uint8_t> labels) {
  logits_ = std::move(logits);
  labels_ = std::move(labels);
}

namespace {

/// One task over its own space: scores and labels for the AUC, sums for the rest.
struct Task {
  std::vector<float> scores;
  std::vector<std::uint8_t> labels;
  double loss = 0.0, predicted = 0.0, positives = 0.0;

  void add(float score, bool label, double row_loss) {
    scores.push_back(score);
    labels.push_back(label ? 1 : 0);
    loss += row_loss;
    predicted += static_cast<double>(score);
    positives += label ? 1.0 : 0.0;
  }
  [[nodiscard]] std::optional<double> logloss() const {
    if (labels.empty()) return std::nullopt;
    return loss / static_cast<double>(labels.size());
  }
  [[nodiscard]] std::optional<double> calibration() const {
    if (positives == 0.0) return std::nullopt;
    return predicted / positives;
  }
};

}  // namespace

Metrics MetricsCollector::result(Backend& backend) const {
  Task ctr, cvr, ctcvr;
  for (std::size_t r = 0; r < labels_.size(); ++r) {
    const float a = logits_[2 * r], b = logits_[2 * r + 1];
    const double wide_a = static_cast<double>(a), wide_b = static_cast<double>(b);
    const bool click = (labels_[r] & 1) != 0, conversion = (labels_[r] & 2) != 0;
    const float pctr = sigmoid(a), pcvr = sigmoid(b);
    ctr.add(pctr, click, ctr_loss(wide_a, click));
    if (click) cvr.add(pcvr, conversion, ctr_loss(wide_b, conversion));
    ctcvr.add(pctr * pcvr, click && conversion, ctcvr_loss(wide_a, wide_b, click && conversion));
  }
  Metrics metrics;
  metrics.impressions = static_cast<std::int64_t>(labels_.size());
  metrics.clicks = static_cast<std::int64_t>(cvr.labels.size());
  metrics.conversions = static_cast<std::int64_t>(ctcvr.positives);
  const Task* tasks[] = {&ctr, &cvr, &ctcvr};
  std::size_t name = 0;
  for (const Task* t : tasks) metrics.values.emplace_back(metric_names()[name++], auc(backend, t->scores, t->labels));
  for (const Task* t : tasks) metrics.values.emplace_back(metric_names()[name++], t->logloss());
  for (const Task* t : tasks) metrics.values.emplace_back(metric_names()[name++], t->calibration());
  return metrics;
}

}  // namespace esmm
