#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "engine/metrics.hpp"

namespace esmm {

/// {"ctr_auc": …, …, "impressions": …, "clicks": …, "conversions": …}; an undefined metric is null.
[[nodiscard]] nlohmann::ordered_json metrics_json(const Metrics& metrics);

/// The inverse of it, without curves. Throws nlohmann::json::exception.
[[nodiscard]] Metrics metrics_from_json(const nlohmann::ordered_json& json);

/// What a metric covers: "all impressions" or "clicked impressions".
[[nodiscard]] std::string metric_space(const std::string& name);

/// A table with one column per split: AUC, logloss and calibration of each target, each named with its space.
[[nodiscard]] std::string metrics_table(const std::vector<std::pair<std::string, Metrics>>& splits);

/// One warning per metric that is undefined, saying why; one where fewer than ten clicks, and one where fewer than ten
/// conversions are measured on; and one where pCVR has collapsed, to nothing (its sum over clicks is below a twentieth
/// of the conversions) or to a constant (its standard deviation is below a hundredth of its mean).
[[nodiscard]] std::vector<std::string> metric_warnings(const std::string& split, const Metrics& metrics);

}  // namespace esmm
