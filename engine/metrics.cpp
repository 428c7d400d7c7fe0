#include "engine/metrics.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/error.hpp"

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

MetricsCollector::MetricsCollector(Backend& backend, std::int64_t capacity, ReadOut read_out)
    : backend_(&backend),
      read_out_(read_out),
      logits_(backend.memory(), capacity * kTowers),
      click_(backend.memory(), capacity),
      conversion_(backend.memory(), capacity) {}

void MetricsCollector::add(MatrixView<const float> logits, const BatchView& batch) {
  const std::int64_t added = batch.impressions;
  if (logits.rows < added || logits.stride != kTowers || size_ + added > capacity()) {
    throw internal_error("metrics: logits [{}, {}] with stride {} of {} impressions; {} of {} places are taken",
                         logits.rows, logits.cols, logits.stride, added, size_, capacity());
  }
  const auto count = static_cast<std::size_t>(added);
  backend_->copy(logits_.data() + size_ * kTowers, logits.data, count * kTowers * sizeof(float));
  backend_->copy(click_.data() + size_, batch.click.data(), count);
  backend_->copy(conversion_.data() + size_, batch.conversion.data(), count);
  size_ += added;
}

void MetricsCollector::remove(std::int64_t first, std::int64_t count) {
  if (first < 0 || count < 0 || first + count > size_) {
    throw internal_error("metrics: {} impressions from {} on are to be removed from {}", count, first, size_);
  }
  for (std::int64_t to = first; count > 0 && to + count < size_; to += count) {  // no copy overlaps its source
    const auto moved = static_cast<std::size_t>(std::min(count, size_ - to - count));
    backend_->copy(logits_.data() + to * kTowers, logits_.data() + (to + count) * kTowers,
                   moved * kTowers * sizeof(float));
    backend_->copy(click_.data() + to, click_.data() + to + count, moved);
    backend_->copy(conversion_.data() + to, conversion_.data() + to + count, moved);
  }
  size_ -= count;
}

StridedTensor MetricsCollector::logits(std::string name) const {
  return {std::move(name), logits_.data(), size_, kTowers, kTowers, {size_, kTowers}, &backend_->memory()};
}

std::vector<std::uint8_t> MetricsCollector::download_labels() const {
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(size_)), conversion(labels.size());
  click_.copy_to_host(labels);
  conversion_.copy_to_host(conversion);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::uint8_t>(labels[i] | conversion[i] << 1);
  return labels;
}

void MetricsCollector::restore(const SafetensorsFile& file, const std::string& logits, const std::string& labels) {
  const std::vector<std::byte> both = file.bytes(labels);
  const auto size = static_cast<std::int64_t>(both.size());
  if (size > capacity()) throw internal_error("metrics: {} impressions for {} places", size, capacity());
  file.read(logits, logits_.data(), size, kTowers, kTowers, &backend_->memory());
  std::vector<std::uint8_t> click(both.size()), conversion(both.size());
  for (std::size_t i = 0; i < both.size(); ++i) {
    click[i] = std::to_integer<std::uint8_t>(both[i] & std::byte{1});
    conversion[i] = std::to_integer<std::uint8_t>(both[i] >> 1 & std::byte{1});
  }
  click_.copy_from_host(click);
  conversion_.copy_from_host(conversion);
  size_ = size;
}

namespace {

std::optional<double> logloss(const TaskMetrics& task) {
  if (task.count == 0) return std::nullopt;
  return task.loss / static_cast<double>(task.count);
}

std::optional<double> calibration(const TaskMetrics& task) {
  if (task.positives == 0) return std::nullopt;
  return task.predicted / static_cast<double>(task.positives);
}

}  // namespace

/// Scores are counted on the host, wherever they are: they pass through a block of half a MB.
std::vector<ScoreCurve> MetricsCollector::curves() const {
  constexpr std::int64_t kBlock = 1 << 16;  // impressions
  const auto most = static_cast<std::size_t>(std::min(kBlock, size_));
  std::vector<float> logits(most * kTowers);
  std::vector<std::uint8_t> click(most), conversion(most);
  ScoreHistogram ctr, cvr, ctcvr;
  for (std::int64_t begin = 0; begin < size_; begin += kBlock) {
    const auto rows = static_cast<std::size_t>(std::min(kBlock, size_ - begin));
    const Memory& memory = backend_->memory();
    memory.copy_to_host(logits.data(), logits_.data() + begin * kTowers, rows * kTowers * sizeof(float));
    memory.copy_to_host(click.data(), click_.data() + begin, rows);
    memory.copy_to_host(conversion.data(), conversion_.data() + begin, rows);
    for (std::size_t r = 0; r < rows; ++r) {
      const Prediction p = predict(read_out_, logits[kTowers * r], logits[kTowers * r + 1]);
      ctr.add(p.pctr, click[r] != 0);
      if (click[r] != 0) cvr.add(p.pcvr, conversion[r] != 0);
      ctcvr.add(p.pctcvr, click[r] != 0 && conversion[r] != 0);
    }
  }
  return {ctr.curve("ctr"), cvr.curve("cvr"), ctcvr.curve("ctcvr")};
}

// The latest: of a training run's progressive metrics those of the model as it ends.
std::optional<double> MetricsCollector::pcvr_spread() const {
  const std::int64_t count = std::min<std::int64_t>(size_, 1 << 16);
  if (count == 0) return std::nullopt;
  std::vector<float> logits(static_cast<std::size_t>(count * kTowers));
  backend_->memory().copy_to_host(logits.data(), logits_.data() + (size_ - count) * kTowers,
                                  logits.size() * sizeof(float));
  std::vector<double> pcvr;
  for (std::size_t i = 0; i < logits.size(); i += kTowers)
    pcvr.push_back(predict(read_out_, logits[i], logits[i + 1]).pcvr);
  double sum = 0, squares = 0;
  for (const double p : pcvr) sum += p;
  const double mean = sum / static_cast<double>(count);
  for (const double p : pcvr) squares += (p - mean) * (p - mean);
  if (mean <= 0) return std::nullopt;
  return std::sqrt(squares / static_cast<double>(count)) / mean;
}

Metrics MetricsCollector::result() const {
  const auto rows = static_cast<std::size_t>(size_);
  const std::array<TaskMetrics, 3> tasks = task_metrics(*backend_, {logits_.data(), size_, kTowers}, read_out_,
                                                        click_.span().first(rows), conversion_.span().first(rows));
  Metrics metrics;
  metrics.impressions = tasks[0].count;
  metrics.clicks = tasks[0].positives;
  metrics.conversions = tasks[2].positives;
  metrics.curves = curves();
  metrics.pcvr_spread = pcvr_spread();
  std::size_t name = 0;
  for (const TaskMetrics& task : tasks) metrics.values.emplace_back(metric_names()[name++], task.auc);
  for (const TaskMetrics& task : tasks) metrics.values.emplace_back(metric_names()[name++], logloss(task));
  for (const TaskMetrics& task : tasks) metrics.values.emplace_back(metric_names()[name++], calibration(task));
  return metrics;
}

}  // namespace esmm
