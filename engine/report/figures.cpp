#include "engine/report/figures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace esmm::report {

namespace {

/// What a score predicts, and over which impressions it is measured.
struct Target {
  std::string key, title, space, rate;
};

const std::vector<Target>& targets() {
  static const std::vector<Target> list{
      {"ctr", "pCTR", "all impressions", "clicks"},
      {"cvr", "pCVR", "clicked impressions", "conversions"},
      {"ctcvr", "pCTCVR", "all impressions", "conversions"},
      {"entire_space_cvr", "pCVR, entire space", "all impressions, conversion if clicked", "conversions if clicked"}};
  return list;
}

const std::vector<Point>& history(const Histories& histories, const std::string& key) {
  static const std::vector<Point> none;
  const auto found = histories.find(key);
  return found == histories.end() ? none : found->second;
}

/// Means of blocks of neighbours, so that at most 500 are left.
std::vector<Point> averaged(const std::vector<Point>& points) {
  constexpr std::size_t kMost = 500;
  const std::size_t block = std::max<std::size_t>(1, (points.size() + kMost - 1) / kMost);
  std::vector<Point> means;
  for (std::size_t begin = 0; begin < points.size(); begin += block) {
    const std::size_t end = std::min(points.size(), begin + block);
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) sum += points[i].y;
    means.push_back({points[end - 1].x, sum / static_cast<double>(end - begin)});
  }
  return means;
}

/// Steps begin at 0 wherever the first value is.
Axis step_axis(const std::vector<Series>& series) {
  double last = 1;
  for (const Series& s : series) {
    for (const Point& p : s.points) last = std::max(last, p.x);
  }
  return Axis::covering(0, last, 3);
}

Chart over_steps(std::string title, std::string space, std::string y_label, std::vector<Series> series) {
  Chart chart;
  chart.description = fmt::format("{} by training step.", title);
  chart.title = std::move(title);
  chart.space = std::move(space);
  chart.x_label = "step";
  chart.y_label = std::move(y_label);
  chart.x_axis = step_axis(series);
  chart.series = std::move(series);
  return chart;
}

const ScoreCurve* find_curve(const Metrics& metrics, const std::string& target) {
  const auto found = std::ranges::find(metrics.curves, target, &ScoreCurve::target);
  return found == metrics.curves.end() ? nullptr : &*found;
}

std::vector<Point> roc_points(const ScoreCurve& curve) {
  double positives = 0, negatives = 0;
  for (const ScoreBin& bin : curve.roc) {
    positives += static_cast<double>(bin.positives);
    negatives += static_cast<double>(bin.count - bin.positives);
  }
  std::vector<Point> points;
  if (!(positives > 0) || !(negatives > 0)) return points;
  double above = 0, false_above = 0;
  points.push_back({0, 0});
  for (const ScoreBin& bin : curve.roc) {
    above += static_cast<double>(bin.positives);
    false_above += static_cast<double>(bin.count - bin.positives);
    points.push_back({false_above / negatives, above / positives});
  }
  return points;
}

std::vector<Point> calibration_points(const ScoreCurve& curve) {
  std::vector<Point> points;
  for (const ScoreBin& bin : curve.calibration) {
    if (bin.count == 0) continue;
    const auto count = static_cast<double>(bin.count), positives = static_cast<double>(bin.positives);
    const auto [low, high] = wilson_interval(positives, count);
    points.push_back({100 * bin.predicted / count, 100 * positives / count, 100 * low, 100 * high});
  }
  return points;
}

std::string label_with_auc(const std::string& label, const Metrics& metrics, const std::string& target) {
  const std::optional<double> auc = metrics.value(target + "_auc");
  const std::string value = auc ? fmt::format("AUC {:.4f}", *auc) : "AUC undefined";
  return label.empty() ? value : label + "  " + value;
}

}  // namespace

std::pair<double, double> wilson_interval(double positives, double count) {
  constexpr double z = 1.959963984540054;  // 97.5 % of a normal distribution
  const double rate = positives / count, spread = z * z / count;
  const double middle = (rate + spread / 2) / (1 + spread);
  const double half = std::sqrt(rate * (1 - rate) * spread + spread * spread / 4) / (1 + spread);
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

std::vector<Chart> loss_charts(const Labelled<Histories>& logged) {
  const std::vector<std::array<std::string, 3>> losses{{"loss", "Loss", "weighted sum of the tasks"},
                                                       {"ctr_loss", "CTR loss", "all impressions"},
                                                       {"ctcvr_loss", "CTCVR loss", "all impressions"},
                                                       {"cvr_loss", "CVR loss", "the impressions that count for it"}};
  std::vector<Chart> charts;
  for (const auto& [key, title, space] : losses) {
    std::vector<Series> series;
    for (std::size_t i = 0; i < logged.size(); ++i) {
      series.push_back({logged[i].first, averaged(history(*logged[i].second, key)), static_cast<int>(i)});
    }
    charts.push_back(over_steps(title, space, "mean log loss, nats", std::move(series)));
  }
  return charts;
}

std::vector<Chart> metric_charts(const Histories& evaluated) {
  const std::vector<std::array<std::string, 3>> kinds{
      {"auc", "AUC", "AUC"}, {"logloss", "Log loss", "nats"}, {"calibration", "Calibration", "Σ p / Σ y"}};
  std::vector<Chart> charts;
  for (const auto& [key, title, unit] : kinds) {
    std::vector<Series> series;
    for (std::size_t t = 0; t < 3; ++t) {
      const Target& target = targets()[t];
      series.push_back({target.title, history(evaluated, target.key + "_" + key), static_cast<int>(t), true, true});
    }
    Chart chart = over_steps(title, "valid", unit, std::move(series));
    if (key == "calibration") chart.level = 1.0;
    charts.push_back(std::move(chart));
  }
  return charts;
}

std::vector<Chart> compared_metric_charts(const Labelled<Histories>& evaluated) {
  std::vector<Chart> charts;
  for (std::size_t t = 0; t < 3; ++t) {
    const Target& target = targets()[t];
    std::vector<Series> series;
    for (std::size_t i = 0; i < evaluated.size(); ++i) {
      series.push_back(
          {evaluated[i].first, history(*evaluated[i].second, target.key + "_auc"), static_cast<int>(i), true, true});
    }
    charts.push_back(over_steps(target.title + " AUC", target.space, "AUC", std::move(series)));
  }
  return charts;
}

std::vector<Chart> roc_charts(const Labelled<Metrics>& metrics) {
  std::vector<Chart> charts;
  for (const Target& target : targets()) {
    Chart chart;
    chart.title = target.title;
    chart.space = target.space;
    chart.description = fmt::format("Receiver operating characteristic of {} over {}.", target.title, target.space);
    chart.x_label = "false positive rate";
    chart.y_label = "true positive rate";
    chart.labels = Chart::Labels::lower_right;
    chart.diagonal = true;
    chart.x_axis = chart.y_axis = Axis{0, 1, 0.2};
    for (std::size_t i = 0; i < metrics.size(); ++i) {
      const auto& [label, one] = metrics[i];
      const ScoreCurve* curve = find_curve(*one, target.key);
      if (curve == nullptr) continue;
      chart.series.push_back({label_with_auc(label, *one, target.key), roc_points(*curve), static_cast<int>(i)});
    }
    charts.push_back(std::move(chart));
  }
  return charts;
}

std::vector<Chart> calibration_charts(const Labelled<Metrics>& metrics) {
  std::vector<Chart> charts;
  for (const Target& target : targets()) {
    Chart chart;
    chart.title = target.title;
    chart.space = target.space;
    chart.description = fmt::format(
        "Reliability of {}: the observed rate of {} against the mean prediction, in bins of equally many impressions, "
        "with 95\u00A0% intervals.",
        target.title, target.rate);
    chart.x_label = "mean " + target.title.substr(0, target.title.find(',')) + ", %";
    chart.y_label = "observed " + target.rate + ", %";
    chart.labels = Chart::Labels::upper_left;
    chart.diagonal = true;
    double highest = 0;
    for (std::size_t i = 0; i < metrics.size(); ++i) {
      const auto& [label, one] = metrics[i];
      const ScoreCurve* curve = find_curve(*one, target.key);
      if (curve == nullptr) continue;
      chart.series.push_back({label, calibration_points(*curve), static_cast<int>(i), metrics.size() > 1, true});
      for (const Point& p : chart.series.back().points) highest = std::max({highest, p.x, p.high});
    }
    if (highest > 0) chart.x_axis = chart.y_axis = Axis::covering(0, highest);
    charts.push_back(std::move(chart));
  }
  return charts;
}

}  // namespace esmm::report
