#include "engine/evaluation_record.hpp"

#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/metrics_text.hpp"
#include "io/file.hpp"
#include "io/sealed_json.hpp"
#include "kernels/error.hpp"

namespace esmm {

namespace fs = std::filesystem;

void save_evaluation(const RunDirectory& run, const EvaluationRecord& record) {
  const std::string key = record.data + '\0' + record.truth;
  make_directory(run.path() + "/evaluations");
  run.write_document("evaluations/" + hex64(XXH3_64bits(key.data(), key.size())) + ".json",
                     {{"data", record.data},
                      {"truth", record.truth},
                      {"steps", record.steps},
                      {"metrics", metrics_json(record.metrics)},
                      {"curves", curves_json(record.metrics.curves)}},
                     /*indent=*/-1);
}

std::vector<EvaluationRecord> load_evaluations(const RunDirectory& run) {
  std::vector<EvaluationRecord> records;
  const fs::path directory = fs::path(run.path()) / "evaluations";
  if (!fs::exists(directory)) return records;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().extension() != ".json") continue;
    const std::string file = entry.path().string();
    try {
      const nlohmann::ordered_json json = run.read_document("evaluations/" + entry.path().filename().string());
      records.push_back({json.at("data"), json.at("truth"), json.at("steps"), metrics_from_json(json.at("metrics"))});
      records.back().metrics.curves = curves_from_json(json.at("curves"), file);
    } catch (const nlohmann::json::exception& error) {
      throw data_error("{}: is not what esmm_gpu eval writes: {}. Evaluate again, or remove it.", file, error.what());
    }
  }
  std::ranges::sort(records, {}, [](const EvaluationRecord& r) { return std::pair(r.data, r.truth); });
  return records;
}

}  // namespace esmm
