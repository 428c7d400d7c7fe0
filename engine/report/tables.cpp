#include "engine/report/tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/config_options.hpp"
#include "engine/metrics_text.hpp"
#include "engine/report/html.hpp"

namespace esmm::report {

using nlohmann::ordered_json;

std::string metric_text(const std::optional<double>& value) {
  return value ? fmt::format("{:.5f}", *value) : "undefined";
}

// ---- Metrics --------------------------------------------------------------------------------------------------------

namespace {

/// The names that any column has, in their order.
std::vector<std::string> all_names(const Labelled<Metrics>& columns) {
  std::vector<std::string> names;
  for (const auto& [label, metrics] : columns) {
    for (const auto& [name, value] : metrics->values) {
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

/// Smaller is better.
double badness(const std::string& name, double value) {
  const std::optional<bool> larger = larger_is_better(name);
  if (!larger) return value > 0 ? std::abs(std::log(value)) : HUGE_VAL;
  return *larger ? -value : value;
}

std::vector<Cell> metric_row(const std::string& name, const Labelled<Metrics>& columns, bool mark_best) {
  std::vector<Cell> row{code(name), text(metric_space(name))};
  double best = HUGE_VAL;
  for (const auto& [label, metrics] : columns) {
    const std::optional<double> value = metrics->value(name);
    if (value) best = std::min(best, badness(name, *value));
  }
  for (const auto& [label, metrics] : columns) {
    const bool has = std::ranges::any_of(metrics->values, [&](const auto& v) { return v.first == name; });
    const std::optional<double> value = metrics->value(name);
    row.push_back(number(has ? metric_text(value) : "–"));
    row.back().strong = mark_best && value && badness(name, *value) == best && !name.starts_with("bayes_");
  }
  return row;
}

}  // namespace

std::string metrics_table(const Labelled<Metrics>& columns, bool mark_best) {
  std::vector<Cell> heads{text("metric"), text("over")};
  for (const auto& [label, metrics] : columns) heads.push_back(number(label));
  Table table("", heads);
  for (const std::string& name : all_names(columns)) table.add(metric_row(name, columns, mark_best));
  const auto add_counts = [&](const char* name, std::int64_t Metrics::*member) {
    std::vector<Cell> row{text(name), text("")};
    for (const auto& [label, metrics] : columns) row.push_back(count(static_cast<std::uint64_t>(metrics->*member)));
    table.add(std::move(row));
  };
  add_counts("impressions", &Metrics::impressions);
  add_counts("clicks", &Metrics::clicks);
  add_counts("conversions", &Metrics::conversions);
  return table.html();
}

// ---- Data -----------------------------------------------------------------------------------------------------------

namespace {

std::uint64_t whole(const ordered_json& json, const std::string& key) {
  const double value = number_in(json, key).value_or(0);
  return value > 0 ? static_cast<std::uint64_t>(value) : 0;
}

std::string size_table(const ordered_json& data) {
  Table table("Datasets", {text(""), number("impressions"), number("common rows"), number("clicks"),
                           number("click rate"), number("conversions"), number("of clicks"), number("packed MB")});
  for (const auto& [split, d] : data.items()) {
    const double clicks = number_in(d, "clicks").value_or(0);
    table.add({text(split), count(whole(d, "impressions")), count(whole(d, "common_rows")), count(whole(d, "clicks")),
               share(clicks, number_in(d, "impressions").value_or(0)), count(whole(d, "conversions")),
               share(number_in(d, "conversions").value_or(0), clicks),
               number(fmt::format("{:.1f}", number_in(d, "packed_bytes").value_or(0) * 1e-6))});
  }
  return table.html();
}

std::string field_table(const ordered_json& dataset) {
  Table table("Fields of the training data",
              {text("field"), text("side"), number("rows with ids"), number("ids per row"), number("most"),
               number("distinct ids"), number("embedding rows"), number("unknown ids")});
  for (const ordered_json& field : part_of(dataset, "fields")) {
    table.add({code(text_in(field, "name")), text(text_in(field, "side")),
               share(1 - number_in(field, "missing_share").value_or(1), 1),
               number(fmt::format("{:.2f}", number_in(field, "ids_per_row").value_or(0))),
               count(whole(field, "most_ids")), count(whole(field, "distinct")), count(whole(field, "rows")),
               share(number_in(field, "unknown_share").value_or(0), 1)});
  }
  return table.empty() ? "" : table.html();
}

std::string dense_table(const ordered_json& dataset) {
  Table table("Dense columns of the training data", {text("column"), number("mean"), number("standard deviation"),
                                                     number("min"), number("max"), number("present")});
  for (const ordered_json& column : part_of(dataset, "dense")) {
    const auto value = [&](const char* key) {
      const std::optional<double> v = number_in(column, key);
      return number(v ? fmt::format("{:.4g}", *v) : "–");
    };
    table.add({code(text_in(column, "name")), value("mean"), value("std"), value("min"), value("max"),
               share(1 - number_in(column, "missing_share").value_or(1), 1)});
  }
  return table.empty() ? "" : table.html();
}

}  // namespace

std::string data_tables(const RunData& run) {
  const ordered_json data = part_of(run.setup, "data");
  if (data.empty()) return {};
  const ordered_json train = part_of(data, "train");
  return size_table(data) + field_table(train) + dense_table(train);
}

// ---- Time, configuration, machine -----------------------------------------------------------------------------------

std::string stage_table(const RunData& run) {
  const ordered_json stages = part_of(run.summary, "stage_seconds");
  double total = 0;
  for (const auto& [stage, seconds] : stages.items()) total += seconds.is_number() ? seconds.get<double>() : 0;
  if (!(total > 0)) return {};
  Table table("", {text("stage"), number("seconds"), number("share")});
  for (const auto& [stage, seconds] : stages.items()) {
    const double value = seconds.is_number() ? seconds.get<double>() : 0;
    table.add({text(stage), number(fmt::format("{:.2f}", value)), share(value, total)});
  }
  return table.html();
}

namespace {

struct Setting {
  std::string group, key, value, standard;  // standard: the default
};

std::vector<Setting> settings(const Config& config) {
  const Config standard;
  std::vector<Setting> list;
  for (const Option& option : options()) {
    list.push_back({std::string(option.group), std::string(option.key), get_option(config, option).value_or(""),
                    get_option(standard, option).value_or("")});
  }
  for (const auto& [name, field] : config.fields) {
    const auto add = [&, field_name = name](const char* key, const std::string& value) {
      list.push_back({"Fields", fmt::format("fields.{}.{}", field_name, key), value, ""});
    };
    if (field.pooling) add("pooling", std::string(name_of(*field.pooling)));
    if (field.transform) add("transform", std::string(name_of(*field.transform)));
    if (field.clip) add("clip", fmt::format("{}", *field.clip));
  }
  return list;
}

/// A table with a label per run and, below, rows of cells made by `cell` of each.
template <class T>
class PerRun {
 public:
  explicit PerRun(const Labelled<T>& runs) : runs_(runs), table_("", heads(runs)) {}
  template <class MakeCell>
  void add(std::string name, const MakeCell& cell) {
    std::vector<Cell> row{text(std::move(name))};
    for (const auto& [label, run] : runs_) row.push_back(cell(*run));
    table_.add(std::move(row));
  }
  [[nodiscard]] std::string html() const { return table_.html(); }

 private:
  static std::vector<Cell> heads(const Labelled<T>& runs) {
    std::vector<Cell> heads{text("")};
    for (const auto& [label, run] : runs) heads.push_back(text(label));
    return heads;
  }
  const Labelled<T>& runs_;
  Table table_;
};

}  // namespace

std::string config_tables(const Config& config) {
  std::string html, group;
  std::optional<Table> table;
  for (const Setting& setting : settings(config)) {
    if (setting.group != group) {
      if (table) html += table->html();
      group = setting.group;
      table.emplace(group, std::vector<Cell>{text("option"), text("value")});
    }
    Cell value = setting.value.empty() ? text("–") : code(setting.value);
    value.strong = setting.value != setting.standard;
    table->add({code(setting.key), value});
  }
  return "<div class=\"columns\">\n" + html + table->html() + "</div>\n";
}

std::string config_differences(const Labelled<Config>& configs) {
  std::vector<std::string> keys;
  std::map<std::string, std::vector<std::string>> values;  // by key, one per run
  for (std::size_t i = 0; i < configs.size(); ++i) {
    for (const Setting& setting : settings(*configs[i].second)) {
      auto& row = values[setting.key];
      if (row.empty()) keys.push_back(setting.key), row.resize(configs.size());
      row[i] = setting.value;
    }
  }
  std::vector<Cell> heads{text("option")};
  for (const auto& [label, config] : configs) heads.push_back(text(label));
  Table table("", heads);
  for (const std::string& key : keys) {
    const std::vector<std::string>& row = values[key];
    if (key == "out" || std::ranges::all_of(row, [&](const std::string& value) { return value == row.front(); }))
      continue;
    std::vector<Cell> cells{code(key)};
    for (const std::string& value : row) cells.push_back(value.empty() ? text("–") : code(value));
    table.add(std::move(cells));
  }
  return table.empty() ? "<p>The configurations are equal.</p>\n" : table.html();
}

std::string machine_table(const Labelled<RunData>& runs) {
  PerRun<RunData> table(runs);
  const auto machine = [](const RunData& run) { return part_of(run.setup, "machine"); };
  const auto known = [](std::string value) { return text(value.empty() ? "–" : std::move(value)); };
  table.add("device", [&](const RunData& run) { return known(text_in(machine(run), "device")); });
  table.add("processor", [&](const RunData& run) { return known(text_in(machine(run), "processor")); });
  table.add("cores", [&](const RunData& run) { return known(fmt::format("{}", whole(machine(run), "cores"))); });
  table.add("memory", [&](const RunData& run) {
    const double bytes = number_in(machine(run), "memory_bytes").value_or(0);
    return known(bytes > 0 ? fmt::format("{:.1f} GB", bytes * 1e-9) : "");
  });
  table.add("system", [&](const RunData& run) { return known(text_in(machine(run), "system")); });
  table.add("program", [&](const RunData& run) { return known(text_in(run.setup, "program")); });
  return table.html();
}

std::string state_text(const RunData& run) {
  if (run.finished) {
    return run.summary.value("stopped_early", ordered_json(false)) == true ? "stopped early" : "finished";
  }
  return fmt::format("not finished, last logged step {:.0f}", run.last_step);
}

std::string training_table(const Labelled<RunData>& runs) {
  PerRun<RunData> table(runs);
  const auto value = [](const char* key, const char* format) {
    return [key, format](const RunData& run) {
      const std::optional<double> v = number_in(run.summary, key);
      return text(v ? fmt::format(fmt::runtime(format), *v) : "–");
    };
  };
  const auto counted = [](const char* key) {
    return [key](const RunData& run) {
      return number_in(run.summary, key) ? text(count(whole(run.summary, key)).text) : text("–");
    };
  };
  table.add("state", [](const RunData& run) { return text(state_text(run)); });
  table.add("model", [](const RunData& run) { return code(std::string(name_of(run.config.model))); });
  table.add("epochs", counted("epochs"));
  table.add("steps", counted("steps"));
  table.add("impressions trained on", counted("rows"));
  table.add("parameters", counted("parameters"));
  table.add("training, seconds", value("train_seconds", "{:.1f}"));
  table.add("impressions per second", counted("samples_per_second"));
  return table.html();
}

}  // namespace esmm::report
