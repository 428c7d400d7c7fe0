#pragma once
#include <string>
#include <utility>
#include <vector>

#include "engine/report/chart.hpp"
#include "engine/report/run_data.hpp"

namespace esmm::report {

/// Things of one kind with the labels of their series, which may be empty for one alone.
template <class T>
using Labelled = std::vector<std::pair<std::string, const T*>>;

/// One chart per loss of the logging steps: the sum, then each task's. Many steps are averaged in blocks.
[[nodiscard]] std::vector<Chart> loss_charts(const Labelled<Histories>& logged);
/// AUC, log loss and calibration against the step, one chart each with a line per target.
[[nodiscard]] std::vector<Chart> metric_charts(const Histories& evaluated);
/// One chart per metric of the AUCs, with a line per run.
[[nodiscard]] std::vector<Chart> compared_metric_charts(const Labelled<Histories>& evaluated);
/// One ROC per target that any of them has, and one reliability diagram, with 95 % Wilson intervals.
[[nodiscard]] std::vector<Chart> roc_charts(const Labelled<Metrics>& metrics);
[[nodiscard]] std::vector<Chart> calibration_charts(const Labelled<Metrics>& metrics);

/// The 95 % interval of a rate by Wilson's score; count > 0.
[[nodiscard]] std::pair<double, double> wilson_interval(double positives, double count);

}  // namespace esmm::report
