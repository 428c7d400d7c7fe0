#include "engine/metrics_text.hpp"

#include <nlohmann/json.hpp>

#include "kernels/error.hpp"

namespace esmm {

nlohmann::ordered_json metrics_json(const Metrics& metrics) {
  nlohmann::ordered_json json;
  for (const auto& [name, value] : metrics.values) {
    json[name] = value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
  }
  json["impressions"] = metrics.impressions;
  json["clicks"] = metrics.clicks;
  json["conversions"] = metrics.conversions;
  return json;
}

Metrics metrics_from_json(const nlohmann::ordered_json& json) {
  Metrics metrics;
  metrics.impressions = json.at("impressions");
  metrics.clicks = json.at("clicks");
  metrics.conversions = json.at("conversions");
  for (const auto& [name, value] : json.items()) {
    if (name == "impressions" || name == "clicks" || name == "conversions") continue;
    metrics.values.emplace_back(name, value.is_null() ? std::nullopt : std::optional(value.get<double>()));
  }
  return metrics;
}

std::string metric_space(const std::string& name) {
  if (name.starts_with("bayes_")) return metric_space(name.substr(6));
  return name.starts_with("cvr_") ? "clicked impressions" : "all impressions";
}

namespace {

std::string row(const std::string& name, const std::string& where, const std::vector<std::string>& cells) {
  std::string line = fmt::format("{:<28}{:<22}", name, where);
  for (const std::string& cell : cells) line += fmt::format("{:>14}", cell);
  return line + "\n";
}

}  // namespace

std::string metrics_table(const std::vector<std::pair<std::string, Metrics>>& splits) {
  std::vector<std::string> heads, impressions, clicks, conversions, names;
  for (const auto& [split, metrics] : splits) {
    heads.push_back(split);
    impressions.push_back(fmt::format("{}", metrics.impressions));
    clicks.push_back(fmt::format("{}", metrics.clicks));
    conversions.push_back(fmt::format("{}", metrics.conversions));
    if (metrics.values.size() > names.size()) {
      names.clear();
      for (const auto& [name, value] : metrics.values) names.push_back(name);
    }
  }
  std::string table = row("metric", "over", heads);
  for (const std::string& name : names) {
    std::vector<std::string> cells;
    for (const auto& [split, metrics] : splits) {
      const std::optional<double> value = metrics.value(name);
      cells.push_back(value ? fmt::format("{:.5f}", *value) : "undefined");
    }
    table += row(name, metric_space(name), cells);
  }
  return table + row("impressions", "", impressions) + row("clicks", "", clicks) + row("conversions", "", conversions);
}

std::vector<std::string> metric_warnings(const std::string& split, const Metrics& metrics) {
  std::vector<std::string> warnings;
  for (const auto& [name, value] : metrics.values) {
    if (value) continue;
    warnings.push_back(fmt::format("{} of {} is undefined: among {} impressions, {} clicks and {} conversions {}.",
                                   name, split, metrics.impressions, metrics.clicks, metrics.conversions,
                                   name.ends_with("_auc") ? "one class is missing" : "there is no positive"));
  }
  constexpr std::int64_t kFew = 10;  // with fewer the standard error of an AUC is above 0.09
  if (metrics.clicks > 0 && metrics.clicks < kFew) {
    warnings.push_back(fmt::format("the ctr metrics of {} rest on {} clicks: they say little.", split, metrics.clicks));
  }
  if (metrics.conversions > 0 && metrics.conversions < kFew) {
    warnings.push_back(fmt::format("the cvr and ctcvr metrics of {} rest on {} conversions: they say little.", split,
                                   metrics.conversions));
  }
  constexpr double kCollapsed = 0.05;  // of the conversions that there were
  constexpr double kConstant = 0.01;   // such a spread s can save at most s²/2 = 5e-5 of log loss per conversion
  const std::optional<double> calibration = metrics.value("cvr_calibration");
  if (calibration && *calibration < kCollapsed && metrics.conversions >= kFew) {
    warnings.push_back(fmt::format(
        "pCVR of {} has collapsed: over the clicked impressions it sums to {:.3g} of the conversions. Lower --lr, or "
        "raise --ctcvr-weight.",
        split, *calibration));
  } else if (metrics.pcvr_spread && *metrics.pcvr_spread < kConstant) {
    warnings.push_back(fmt::format(
        "pCVR of {} is nearly the same for all impressions: it varies by {:.2g} % of its mean. Train longer, or change "
        "--lr.",
        split, 100 * *metrics.pcvr_spread));
  }
  return warnings;
}

}  // namespace esmm
