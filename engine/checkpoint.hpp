#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/metrics.hpp"
#include "engine/model_optimizer.hpp"
#include "engine/parameters.hpp"

namespace esmm {

/// Where a run stands between two steps; with the parameters and the optimizer state, everything that a resumed run
/// needs to end with the same bytes. Random numbers are counter-based, so the step is their whole state.
struct TrainingState {
  std::int64_t step = 0;                    // steps done
  std::int64_t epoch = 0;                   // of the next batch
  std::int64_t batch = 0;                   // next batch within the epoch
  TaskLosses window_losses;                 // summed since the last logging step
  std::int64_t window_steps = 0;            // whose losses these are
  std::int64_t skipped_steps = 0;           // with --on-nonfinite skip, of all
  std::int64_t skipped_steps_in_a_row = 0;  // and since the last one that was not
  std::optional<double> best_metric;        // early stopping
  std::int64_t evaluations_without_improvement = 0;
  bool stopped_early = false;
  std::int64_t evaluated_step = 0;  // the last step whose parameters were evaluated
  std::string dataset;              // what it was trained on
  double train_seconds = 0.0;
};

void save_checkpoint(const std::string& path, const TrainingState& state, const Parameters& parameters,
                     const ModelOptimizer& optimizer, const MetricsCollector& progressive);
/// The state alone, cheaply. Throws Error (data) when the file is damaged.
[[nodiscard]] TrainingState load_state(const std::string& path);
/// Throws Error (data) when the file is damaged or belongs to another model.
[[nodiscard]] TrainingState load_checkpoint(const std::string& path, Parameters& parameters, ModelOptimizer& optimizer,
                                            MetricsCollector& progressive);

/// The last of `paths` (oldest first) that is whole, every byte of it verified; calls skipped(reason) for each later
/// one that is damaged. Null when none is whole. Throws Error (io) when one cannot be read: that is no damage.
[[nodiscard]] std::optional<std::string> newest_good_checkpoint(const std::vector<std::string>& paths,
                                                                const std::function<void(const std::string&)>& skipped);

/// The finished model alone, with the training statistics of the dense columns.
void save_model(const std::string& path, const Parameters& parameters);
void load_model(const std::string& path, Parameters& parameters);
/// The dense columns' normalisation, as saved with the model.
[[nodiscard]] std::vector<DenseInput> load_normalisation(const std::string& path);

}  // namespace esmm
