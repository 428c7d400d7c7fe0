#include "engine/report/run_data.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "engine/metrics_text.hpp"
#include "kernels/error.hpp"

namespace esmm::report {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

const Split* RunData::judged() const {
  for (const char* best : {"valid", "train"}) {
    const auto found = std::ranges::find(splits, best, &Split::name);
    if (found != splits.end()) return &*found;
  }
  return nullptr;
}

std::optional<double> number_in(const ordered_json& json, const std::string& key) {
  if (!json.is_object()) return std::nullopt;
  const auto found = json.find(key);
  return found != json.end() && found->is_number() ? std::optional(found->get<double>()) : std::nullopt;
}

std::string text_in(const ordered_json& json, const std::string& key) {
  if (!json.is_object()) return {};
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

ordered_json part_of(const ordered_json& json, const std::string& key) {
  if (!json.is_object()) return ordered_json::object();
  const auto found = json.find(key);
  return found != json.end() && found->is_structured() ? *found : ordered_json::object();
}

namespace {

/// Reads metrics.jsonl; returns its last evaluation, null when there is none.
ordered_json read_histories(const std::string& file, RunData& run) {
  ordered_json last_evaluation;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    ordered_json entry = ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
    const std::optional<double> step = number_in(entry, "step");
    if (!step) continue;
    run.last_step = std::max(run.last_step, *step);
    run.last_epoch = std::max(run.last_epoch, number_in(entry, "epoch").value_or(0));
    const bool evaluation = entry.contains("split");
    for (const auto& [key, value] : entry.items()) {
      if (key == "step" || !value.is_number()) continue;
      (evaluation ? run.evaluated : run.logged)[key].push_back({*step, value.get<double>()});
    }
    if (evaluation) last_evaluation = std::move(entry);
  }
  return last_evaluation;
}

void read_splits(const RunDirectory& directory, const ordered_json& last_evaluation, RunData& run) {
  const ordered_json metrics = part_of(run.summary, "metrics");
  const ordered_json curves = directory.read_document("curves.json");
  for (const auto& [name, values] : metrics.items()) {
    Split split{name, metrics_from_json(values)};
    if (curves.is_object() && curves.contains(name)) {
      split.metrics.curves = curves_from_json(curves.at(name), directory.path() + "/curves.json");
    }
    run.splits.push_back(std::move(split));
  }
  if (!run.splits.empty() || last_evaluation.is_null()) return;
  ordered_json values = last_evaluation;
  values.erase("step");
  values.erase("split");
  run.splits.push_back({"valid", metrics_from_json(values)});
}

/// An empty object instead of a document that is not there.
ordered_json document(const RunDirectory& directory, const std::string& name) {
  ordered_json json = directory.read_document(name);
  return json.is_null() ? ordered_json::object() : json;
}

}  // namespace

RunData load_run_data(const RunDirectory& directory) {
  RunData run;
  fs::path path = fs::absolute(directory.path()).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  run.name = path.filename().string();
  run.config = directory.config();
  try {
    run.summary = document(directory, "summary.json");
    run.setup = document(directory, "setup.json");
    const ordered_json last_evaluation = read_histories(directory.path() + "/metrics.jsonl", run);
    read_splits(directory, last_evaluation, run);
  } catch (const ordered_json::exception& error) {
    throw data_error(
        "{}: summary.json, curves.json or metrics.jsonl is not what esmm_gpu train writes: {}. Train again.",
        directory.path(), error.what());
  }
  run.finished = !run.summary.empty() && number_in(run.summary, "steps").value_or(0) >= run.last_step;
  run.evaluations = load_evaluations(directory);
  return run;
}

}  // namespace esmm::report
