#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/metrics.hpp"
#include "engine/run_directory.hpp"

namespace esmm {

/// What `eval` measured of a run.
struct EvaluationRecord {
  std::string data, truth;  // absolute paths; truth may be empty
  std::int64_t steps = 0;   // that the model had been trained for
  Metrics metrics;
};

/// Writes RUN/evaluations/<hash of data and truth>.json: the newest evaluation on them replaces the one before.
void save_evaluation(const RunDirectory& run, const EvaluationRecord& record);
/// All of a run, ordered by data and truth. Throws Error (data) when a file is not what save_evaluation writes.
[[nodiscard]] std::vector<EvaluationRecord> load_evaluations(const RunDirectory& run);

}  // namespace esmm
