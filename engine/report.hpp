#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "engine/metrics.hpp"

namespace esmm {

/// {"ctr_auc": …, …, "impressions": …, "clicks": …, "conversions": …}; an undefined metric is null.
[[nodiscard]] nlohmann::ordered_json metrics_json(const Metrics& metrics);

/// A table with one column per split: AUC, logloss and calibration of each target, each named with its space.
[[nodiscard]] std::string metrics_table(const std::vector<std::pair<std::string, Metrics>>& splits);

/// One warning per metric that is undefined, saying why.
[[nodiscard]] std::vector<std::string> metric_warnings(const std::string& split, const Metrics& metrics);

}  // namespace esmm
