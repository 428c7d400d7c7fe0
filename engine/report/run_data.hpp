#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/config.hpp"
#include "engine/evaluation_record.hpp"
#include "engine/report/chart.hpp"
#include "engine/run_directory.hpp"

namespace esmm::report {

/// Values by name, each against the step.
using Histories = std::map<std::string, std::vector<Point>>;

struct Split {
  std::string name;  // "train", "valid"
  Metrics metrics;
};

/// What a run directory tells, read once.
struct RunData {
  std::string name;  // the last part of its path
  Config config;
  nlohmann::ordered_json summary, setup;  // objects; empty when the run has none
  bool finished = false;                  // and not continued since
  double last_step = 0, last_epoch = 0;   // in metrics.jsonl
  Histories logged;                       // "loss", "ctr_loss", … of the logging steps
  Histories evaluated;                    // "ctr_auc", … of the evaluations; undefined ones are left out
  std::vector<Split> splits;              // of a run that never finished: its last evaluation
  std::vector<EvaluationRecord> evaluations;

  /// The split that the run is judged by: "valid", else "train"; null when there is none.
  [[nodiscard]] const Split* judged() const;
};

/// Throws Error: data (a file that no run writes), io. A torn last line of metrics.jsonl is left out.
[[nodiscard]] RunData load_run_data(const RunDirectory& run);

/// A member of a JSON object, whatever it holds: nothing unless it is a number.
[[nodiscard]] std::optional<double> number_in(const nlohmann::ordered_json& json, const std::string& key);
/// Likewise; empty unless it is a string.
[[nodiscard]] std::string text_in(const nlohmann::ordered_json& json, const std::string& key);
/// Likewise; an empty array or object unless it is one.
[[nodiscard]] nlohmann::ordered_json part_of(const nlohmann::ordered_json& json, const std::string& key);

}  // namespace esmm::report
