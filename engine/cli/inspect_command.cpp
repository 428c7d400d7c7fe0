#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/cli/dataset_report.hpp"
#include "engine/cli/result.hpp"
#include "engine/cli/text_table.hpp"
#include "engine/commands.hpp"
#include "engine/leaks.hpp"
#include "engine/run_directory.hpp"
#include "io/packed.hpp"
#include "kernels/error.hpp"

namespace esmm {

namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// ---- Packed datasets ------------------------------------------------------------------------------------------------

Result inspect_dataset(const std::string& path) {
  const auto dataset = PackedDataset::open(path);
  const std::vector<Leak> leaks = find_leaks(*dataset);
  Result result{dataset_text(*dataset), dataset_json(*dataset)};
  result.json["leaks"] = ordered_json::array();
  for (const Leak& leak : leaks) {
    result.json["leaks"].push_back({{"feature", leak.feature}, {"target", leak.target}, {"auc", leak.auc}});
  }
  for (const std::string& warning : dataset_warnings(*dataset, leaks)) spdlog::warn("{}", warning);
  return result;
}

Result inspect_halves(const std::string& path) {
  Result result;
  result.json["datasets"] = ordered_json::array();
  for (const char* half : {"train", "test"}) {
    const fs::path directory = fs::path(path) / half;
    if (!fs::exists(directory)) continue;
    Result one = inspect_dataset(directory.string());
    result.text += (result.text.empty() ? "" : "\n") + one.text;
    result.json["datasets"].push_back(std::move(one.json));
  }
  return result;
}

// ---- Runs -----------------------------------------------------------------------------------------------------------

std::string scalar_text(const ordered_json& value) {
  if (value.is_number_float()) return fmt::format("{:.5g}", value.get<double>());
  if (value.is_null()) return "undefined";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string summary_text(const ordered_json& summary) {
  if (summary.is_null()) return "not finished: there is no summary.json yet\n";
  std::string text;
  for (const auto& [key, value] : summary.items()) {
    if (!value.is_structured()) text += fmt::format("  {:<20}{}\n", key, scalar_text(value));
  }
  const ordered_json splits = summary.value("metrics", ordered_json::object());
  for (const auto& [split, metrics] : splits.items()) {
    TextTable table({split, "value"});
    for (const auto& [metric, value] : metrics.items()) table.add({metric, scalar_text(value)});
    text += fmt::format("\n{}", table.str());
  }
  return text;
}

Result inspect_run(const std::string& path) {
  const RunDirectory run = RunDirectory::open(path);
  const Config config = run.config();
  const ordered_json summary = run.read_document("summary.json");
  const std::vector<std::int64_t> steps = run.checkpoints();
  std::string text = fmt::format("run {}\n\n{}", path, summary_text(summary));
  text +=
      fmt::format("\ncheckpoints at steps: {}\n", steps.empty() ? "none" : fmt::format("{}", fmt::join(steps, ", ")));
  text += fmt::format("\n{}", to_toml(config));
  Result result{std::move(text),
                {{"path", path}, {"config", to_toml(config)}, {"summary", summary}, {"checkpoints", steps}}};
  if (fs::exists(fs::path(path) / "vocab")) {
    const auto vocabulary = run.vocabulary();
    result.text += fmt::format("\n{}", vocabulary_text(*vocabulary));
    result.json["vocabulary"] = vocabulary_json(*vocabulary);
  }
  return result;
}

Result inspect_path(const std::string& path) {
  const fs::path directory(path);
  if (fs::exists(directory / "config.toml")) return inspect_run(path);
  if (fs::exists(directory / "vocabulary.json")) {
    const auto vocabulary = Vocabulary::load(path);
    return {vocabulary_text(*vocabulary), vocabulary_json(*vocabulary)};
  }
  switch (classify_path(path)) {
    case PathKind::packed:
      return inspect_dataset(path);
    case PathKind::packed_halves:
      return inspect_halves(path);
    default:
      break;
  }
  throw usage_error("inspect {}: is a raw log. Pack it first: esmm_gpu convert --data {} --out DIR.", path, path);
}

}  // namespace

void inspect_command(const InspectOptions& options) {
  print_result(inspect_path(options.path), options.json);
}

}  // namespace esmm
