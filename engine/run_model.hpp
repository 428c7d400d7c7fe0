#pragma once
#include <memory>
#include <string>

#include "engine/config.hpp"
#include "engine/datasets.hpp"
#include "engine/model.hpp"
#include "engine/run_directory.hpp"
#include "io/packed.hpp"

namespace esmm {

/// A finished run, loaded for evaluation or prediction.
struct RunModel {
  RunDirectory directory;
  Config config;
  std::shared_ptr<const Vocabulary> vocabulary;
  std::unique_ptr<Parameters> parameters;

  [[nodiscard]] Model model() const { return Model(*parameters); }
};

/// Throws Error: usage (no run there, or it has not finished a model), data (damaged).
[[nodiscard]] RunModel load_run(Backend& backend, const std::string& path);

/// How to open PATH with the run's own schema and vocabulary; of a directory with both halves the test half.
[[nodiscard]] DatasetRequest request_for_run(const RunModel& run, const std::string& path);

}  // namespace esmm
