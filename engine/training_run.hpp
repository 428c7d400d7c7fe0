#pragma once
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <string>

#include "engine/batch_feed.hpp"
#include "engine/checkpoint.hpp"
#include "engine/config.hpp"
#include "engine/evaluator.hpp"
#include "engine/resident_ids.hpp"
#include "engine/run_directory.hpp"
#include "engine/trainer.hpp"
#include "io/events/event_file.hpp"
#include "io/loader.hpp"
#include "kernels/error.hpp"

namespace esmm {

/// What a run tells whoever watches it.
struct TrainingObserver {
  /// After every step; rows so far; the last known loss, of this step or some before (NaN: none is known yet).
  std::function<void(std::int64_t step, std::int64_t rows, double loss)> on_step;
  std::function<void(const std::string& line)> on_log;  // after every logging step
  std::function<void(const std::string& split, const Metrics&)> on_metrics;
  std::function<void(const std::string& warning)> on_warning;
};

/// Seconds that this process has spent, without what a resumed run took before.
struct StageSeconds {
  double training = 0, evaluation = 0, checkpoints = 0;
};

/// How a run ended.
struct TrainingResult {
  Metrics train;                 // progressive, over the last epoch
  std::optional<Metrics> valid;  // of the model that was saved
  TrainingState state;
  std::int64_t rows = 0;  // impressions trained on, over all epochs
  bool interrupted = false;
  StageSeconds seconds;
};

/// One training run: batches → steps, with logging, evaluation, early stopping and checkpoints into a run directory.
/// The same configuration and data give the same bytes, whatever the number of threads and wherever it was resumed.
class TrainingRun {
 public:
  static constexpr std::int64_t kMostSkippedInARow = 10;

  /// `resident`: the training data's ids are moved into the backend's memory first and stay there.
  TrainingRun(Backend& backend, const Config& config, const ModelSpec& spec, RunDirectory directory,
              std::shared_ptr<const PackedDataset> train, std::shared_ptr<const PackedDataset> valid,
              TrainingObserver observer, bool resident = false);

  /// Continues from a checkpoint; call before `run`. Later checkpoints, which must be damaged ones, are set aside.
  /// Throws Error: data (damaged, or of other data), usage (more epochs are done than the configuration asks for).
  void resume(const std::string& checkpoint);
  /// Trains to the end, or until the step in which SIGINT or SIGTERM arrived: then a checkpoint is written and the
  /// result says so. Throws Error (internal) when the loss is not finite, or when kMostSkippedInARow steps in a row
  /// were skipped because of that; good checkpoints stay.
  TrainingResult run();

  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  /// Impressions trained on so far, over all epochs.
  [[nodiscard]] std::int64_t rows() const;
  [[nodiscard]] bool stopped_early() const { return state_.stopped_early; }
  [[nodiscard]] std::int64_t total_steps() const { return total_steps_; }

 private:
  void train_epoch();
  void train_batch(const BatchView& batch);
  void take_losses();
  void note_skipped(std::int64_t step, double loss);
  void log();
  [[nodiscard]] std::vector<std::pair<std::string, double>> window_losses() const;
  /// Scalars of this step for TensorBoard, unless it is off.
  void add_events(const std::vector<Scalar>& scalars);
  void add_events(const std::string& split, const Metrics& metrics);
  /// Of training alone, without checkpoints and evaluations; up to now.
  [[nodiscard]] double train_seconds() const;
  [[nodiscard]] bool evaluation_is_due() const;
  void evaluate_valid();
  [[nodiscard]] std::optional<Metrics> evaluate_unless_interrupted();
  void check_early_stopping(const Metrics& metrics);
  void save();
  /// [first, end) of a step's impressions, in its epoch's order.
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> impressions_of(std::int64_t step) const;
  /// The impressions of a step, and how large the parameters are by now.
  [[nodiscard]] std::string circumstances(std::int64_t step) const;
  [[nodiscard]] Error divergence(const std::string& what, std::int64_t step) const;
  [[nodiscard]] std::int64_t impressions() const {
    return static_cast<std::int64_t>(train_data_->statistics().impressions);
  }
  [[nodiscard]] bool finished() const { return state_.stopped_early || state_.epoch >= config_.epochs; }

  Backend& backend_;
  Config config_;
  RunDirectory directory_;
  std::shared_ptr<const PackedDataset> train_data_, valid_data_;
  TrainingObserver observer_;
  ThreadPool pool_;  // of the host, for what is done once
  std::unique_ptr<ResidentIds> resident_;
  Loader loader_;
  BatchFeed feed_;
  std::int64_t total_steps_;
  Parameters parameters_;
  Trainer trainer_;
  MetricsCollector progressive_;  // logits met in this epoch, each before its update
  TrainingState state_;
  double last_loss_ = std::numeric_limits<double>::quiet_NaN();
  std::optional<Metrics> last_valid_;
  std::int64_t saved_step_ = -1;
  std::optional<EventFile> events_;
  std::optional<std::chrono::steady_clock::time_point> training_since_;  // unset in pauses
  double logged_seconds_ = 0;                                            // when the last line was logged
  std::int64_t logged_rows_ = 0;
  StageSeconds seconds_;
};

}  // namespace esmm
