#include "engine/training_run.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/interrupt.hpp"
#include "engine/metrics_text.hpp"
#include "engine/stopwatch.hpp"
#include "kernels/error.hpp"
#include "kernels/nvtx.hpp"

namespace esmm {

namespace {

Order loader_order(Shuffle shuffle) {
  switch (shuffle) {
    case Shuffle::common_row:
      return Order::by_common_row;
    case Shuffle::impression:
      return Order::by_impression;
    case Shuffle::none:
      return Order::sequential;
  }
  return Order::by_common_row;
}

LoaderOptions loader_options(const Config& config) {
  LoaderOptions options;
  options.batch_size = config.batch_size;
  options.order = loader_order(config.shuffle);
  options.seed = config.seed;
  options.window_bytes = static_cast<std::uint64_t>(config.window_mb) << 20;
  return options;
}

// The double that prints as the float does: 0.001, not 0.0010000000474974513.
double shortest(float value) {
  return std::stod(fmt::format("{}", value));
}

/// Tells a dataset from any that a resumed run could mistake for it.
std::string identity(const PackedDataset& dataset) {
  const DatasetStatistics& s = dataset.statistics();
  return fmt::format("{} impressions, {} clicks, {} conversions, {} common rows, {} bytes, vocabulary {}",
                     s.impressions, s.clicks, s.conversions, s.common_rows, s.packed_bytes, dataset.vocabulary_hash());
}

std::string best_model_path(const RunDirectory& directory) {
  return directory.path() + "/checkpoints/best.safetensors";
}

}  // namespace

TrainingRun::TrainingRun(Backend& backend, const Config& config, const ModelSpec& spec, RunDirectory directory,
                         std::shared_ptr<const PackedDataset> train, std::shared_ptr<const PackedDataset> valid,
                         TrainingObserver observer, bool resident)
    : backend_(backend),
      config_(config),
      directory_(std::move(directory)),
      train_data_(std::move(train)),
      valid_data_(std::move(valid)),
      observer_(std::move(observer)),
      pool_(config.threads),
      resident_(resident ? std::make_unique<ResidentIds>(backend.memory(), *train_data_, spec.inputs, pool_) : nullptr),
      loader_(train_data_, spec.inputs, BatchFeed::loader_options(backend, loader_options(config)),
              resident ? resident_->take_blocks() : std::vector<std::unique_ptr<Block>>{}),
      feed_(backend, loader_, resident_.get()),
      total_steps_(config.epochs * loader_.batches_per_epoch()),
      parameters_(backend.memory(), spec),
      trainer_(backend, config, parameters_, total_steps_),
      progressive_(backend, impressions(), spec.method.read_out) {
  parameters_.initialise(config, pool_);
  if (!backend.memory_is_host()) trainer_.reserve(loader_.batch_size(), loader_.batch_size());
  state_.dataset = identity(*train_data_);
}

void TrainingRun::resume(const std::string& checkpoint) {
  const TrainingState saved = load_state(checkpoint);
  if (saved.dataset != state_.dataset) {
    throw data_error("{}: was trained on other data ({}; now {}). Restore the data, or start a new run.", checkpoint,
                     saved.dataset, state_.dataset);
  }
  if (saved.epoch > config_.epochs || (saved.epoch == config_.epochs && saved.batch > 0)) {
    throw usage_error("--epochs {}: the run has trained for longer already ({} epochs and {} batches).", config_.epochs,
                      saved.epoch, saved.batch);
  }
  state_ = load_checkpoint(checkpoint, parameters_, trainer_.optimizer(), progressive_);
  trainer_.resume_after(state_.step);
  saved_step_ = state_.step;
  directory_.set_aside_checkpoints_after(state_.step);
  directory_.prune_checkpoints(config_.keep_checkpoints);  // the run may have ended before it came to that
  directory_.rewind_metrics(state_.step, state_.evaluated_step);
}

std::int64_t TrainingRun::rows() const {
  return state_.epoch * impressions() + std::min(state_.batch * config_.batch_size, impressions());
}

double TrainingRun::train_seconds() const {
  if (!training_since_) return state_.train_seconds;
  return state_.train_seconds +
         std::chrono::duration<double>(std::chrono::steady_clock::now() - *training_since_).count();
}

void TrainingRun::add_events(const std::vector<Scalar>& scalars) {
  if (events_) events_->add(state_.step, scalars);
}

void TrainingRun::add_events(const std::string& split, const Metrics& metrics) {
  std::vector<Scalar> scalars;
  for (const auto& [name, value] : metrics.values) {
    if (value) scalars.emplace_back(split + "/" + name, *value);
  }
  add_events(scalars);
}

TrainingResult TrainingRun::run() {
  if (config_.tensorboard == Tensorboard::on && !finished()) events_.emplace(directory_.path(), state_.step + 1);
  logged_seconds_ = state_.train_seconds;
  logged_rows_ = rows();
  const double trained_before = state_.train_seconds;
  if (evaluation_is_due()) evaluate_valid();  // the run was stopped between a step and its evaluation
  while (!finished() && !interrupted()) train_epoch();
  if (saved_step_ != state_.step) save();

  TrainingResult result;
  if (!interrupted() && !config_.early_stopping.empty() && state_.best_metric) {
    load_model(best_model_path(directory_), parameters_);
    last_valid_.reset();  // it was measured on later parameters
  }
  if (valid_data_ != nullptr && !last_valid_) last_valid_ = evaluate_unless_interrupted();
  result.state = state_;
  result.rows = rows();
  result.interrupted = interrupted();
  seconds_.training = state_.train_seconds - trained_before;
  result.seconds = seconds_;
  if (result.interrupted) return result;
  save_model(directory_.model_path(), parameters_);
  result.train = progressive_.result();
  result.valid = last_valid_;
  add_events("train", result.train);
  return result;
}

void TrainingRun::train_epoch() {
  const NvtxRange range("epoch");
  feed_.start(state_.epoch, state_.batch);
  const auto pause = [&] {
    state_.train_seconds = train_seconds();
    training_since_.reset();
  };
  training_since_ = std::chrono::steady_clock::now();
  while (const BatchView* batch = feed_.next()) {
    train_batch(*batch);
    const bool save_due =
        config_.checkpoint_every > 0 ? state_.step % config_.checkpoint_every == 0 : state_.batch == 0;
    if (!save_due && !evaluation_is_due() && !interrupted()) continue;
    take_losses();
    pause();
    if (save_due) save();  // before the evaluation, which a resumed run does again
    if (evaluation_is_due()) evaluate_valid();
    if (interrupted() || state_.stopped_early) return;
    training_since_ = std::chrono::steady_clock::now();
  }
  pause();
}

std::pair<std::int64_t, std::int64_t> TrainingRun::impressions_of(std::int64_t step) const {
  const std::int64_t first = (step - 1) % loader_.batches_per_epoch() * loader_.batch_size();
  return {first, std::min(first + loader_.batch_size(), impressions())};
}

std::string TrainingRun::circumstances(std::int64_t step) const {
  const auto [first, end] = impressions_of(step);
  const std::span<const float> towers = parameters_.towers().flat();
  const double tables = squared_norm(backend_, parameters_.tables());
  const double layers = squared_norm(backend_, {towers.data(), 1, static_cast<std::int64_t>(towers.size())});
  return fmt::format(
      "epoch {}, batch {}, impressions {} to {} in the epoch's order; by now norm of the tables {:.3g}, of the towers "
      "{:.3g}",
      (step - 1) / loader_.batches_per_epoch(), (step - 1) % loader_.batches_per_epoch(), first, end - 1,
      std::sqrt(tables), std::sqrt(layers));
}

Error TrainingRun::divergence(const std::string& what, std::int64_t step) const {
  const std::vector<std::string> checkpoints = directory_.checkpoint_paths();
  const std::string kept =
      checkpoints.empty() ? "There is no earlier checkpoint" : "The last good checkpoint is " + checkpoints.back();
  const char* skip =
      config_.on_nonfinite == OnNonfinite::error ? "; or leave such steps out (--on-nonfinite skip)" : "";
  return internal_error(
      "{} at step {} ({}). Lower --lr, set --clip-norm, or tame the values (--value-transform log1p){}. {}.", what,
      step, circumstances(step), skip, kept);
}

void TrainingRun::train_batch(const BatchView& batch) {
  if (state_.batch == 0) progressive_.clear();
  trainer_.step(batch);
  progressive_.add(trainer_.logits(), batch);
  state_.step = trainer_.steps();
  ++state_.batch;

  const bool log_due = state_.step % config_.log_every == 0;
  const bool ends_epoch = state_.batch == loader_.batches_per_epoch();
  if (log_due || ends_epoch || trainer_.pending_losses() == Trainer::kMostPendingLosses) take_losses();
  if (observer_.on_step) observer_.on_step(state_.step, rows(), last_loss_);
  if (log_due) log();
  if (ends_epoch) {
    ++state_.epoch;
    state_.batch = 0;
  }
}

/// Reading losses waits for the device, so it is done now and then, and always before anything is saved or evaluated.
void TrainingRun::take_losses() {
  std::int64_t step = trainer_.steps() - trainer_.pending_losses();
  for (const StepLosses& losses : trainer_.take_losses()) {
    ++step;
    const double loss = losses.total(trainer_.objective());
    if (losses.skipped != 0) {
      note_skipped(step, loss);
      continue;
    }
    state_.skipped_steps_in_a_row = 0;
    last_loss_ = loss;
    if (!std::isfinite(last_loss_)) throw divergence(fmt::format("the loss is {}", last_loss_), step);
    state_.window_losses.ctr += losses.ctr;
    state_.window_losses.conversion += losses.conversion;
    state_.window_losses.auxiliary += losses.auxiliary;
    ++state_.window_steps;
  }
}

/// A skipped step's impressions count in no metric. They are known to be the collector's latest but for those of the
/// steps after it, since losses are taken before an epoch's end.
void TrainingRun::note_skipped(std::int64_t step, double loss) {
  const auto [first, end] = impressions_of(step);
  const std::int64_t now = impressions_of(trainer_.steps()).second;
  progressive_.remove(progressive_.size() - (now - first), end - first);
  ++state_.skipped_steps;
  const std::string reason =
      std::isfinite(loss) ? "the gradient is not finite, or its square is not" : fmt::format("the loss is {}", loss);
  if (++state_.skipped_steps_in_a_row == kMostSkippedInARow) {
    throw divergence(fmt::format("{} steps in a row were skipped: {}", kMostSkippedInARow, reason), step);
  }
  if (observer_.on_warning) {
    observer_.on_warning(fmt::format("skipped step {}: {} ({}).", step, reason, circumstances(step)));
  }
}

/// Mean losses by name, the weighted sum first; none where every step was skipped.
std::vector<std::pair<std::string, double>> TrainingRun::window_losses() const {
  if (state_.window_steps == 0) return {};
  const double steps = static_cast<double>(state_.window_steps);
  const TaskLosses mean{state_.window_losses.ctr / steps, state_.window_losses.conversion / steps,
                        state_.window_losses.auxiliary / steps};
  const Method& method = parameters_.spec().method;
  std::vector<std::pair<std::string, double>> losses{{"loss", mean.total(trainer_.objective())},
                                                     {"ctr_loss", mean.ctr},
                                                     {fmt::format("{}_loss", method.second_task), mean.conversion}};
  if (method.auxiliary != nullptr) losses.emplace_back("cvr_loss", mean.auxiliary);
  return losses;
}

void TrainingRun::log() {
  const double epoch = static_cast<double>(state_.epoch) +
                       static_cast<double>(state_.batch) / static_cast<double>(loader_.batches_per_epoch());
  nlohmann::ordered_json line{{"step", state_.step}, {"epoch", epoch}};
  const double seconds = train_seconds();
  std::vector<Scalar> events{
      {"train/learning_rate", trainer_.learning_rate()},
      {"train/epoch", epoch},
      {"train/rows_per_second", static_cast<double>(rows() - logged_rows_) / (seconds - logged_seconds_)}};
  logged_seconds_ = seconds;
  logged_rows_ = rows();
  std::string text = fmt::format("step {}/{}  epoch {:.2f}", state_.step, total_steps_, epoch);
  for (const auto& [name, value] : window_losses()) {
    line[name] = value;
    events.emplace_back("train/" + name, value);
    text += fmt::format("  {} {:.5f}", name.substr(0, name.find('_')), value);
  }
  line["learning_rate"] = shortest(trainer_.learning_rate());
  if (config_.on_nonfinite == OnNonfinite::skip) {
    line["skipped_steps"] = state_.skipped_steps;
    events.emplace_back("train/skipped_steps", static_cast<double>(state_.skipped_steps));
  }
  directory_.append_metrics(line.dump());
  add_events(events);
  if (observer_.on_log) observer_.on_log(text);
  state_.window_losses = {};
  state_.window_steps = 0;
}

bool TrainingRun::evaluation_is_due() const {
  if (valid_data_ == nullptr || interrupted() || state_.step == 0 || state_.evaluated_step == state_.step) return false;
  return state_.batch == 0 || (config_.eval_every > 0 && state_.step % config_.eval_every == 0);
}

std::optional<Metrics> TrainingRun::evaluate_unless_interrupted() {
  if (interrupted()) return std::nullopt;
  const Stopwatch watch(seconds_.evaluation);
  try {
    return evaluate(backend_, trainer_.model(), valid_data_, {});
  } catch (const Error& error) {
    if (error.code() != ExitCode::interrupted) throw;
    return std::nullopt;
  }
}

void TrainingRun::evaluate_valid() {
  last_valid_ = evaluate_unless_interrupted();
  if (!last_valid_) return;
  state_.evaluated_step = state_.step;
  nlohmann::ordered_json line{{"step", state_.step}, {"split", "valid"}};
  line.update(metrics_json(*last_valid_));
  directory_.append_metrics(line.dump());
  add_events("valid", *last_valid_);
  if (observer_.on_metrics) observer_.on_metrics("valid", *last_valid_);
  check_early_stopping(*last_valid_);
}

void TrainingRun::check_early_stopping(const Metrics& metrics) {
  if (config_.early_stopping.empty()) return;
  const std::optional<double> value = metrics.value(config_.early_stopping);
  if (!value) {
    if (observer_.on_warning) {
      observer_.on_warning(fmt::format("early stopping: {} is undefined at step {} and does not count.",
                                       config_.early_stopping, state_.step));
    }
    return;
  }
  const bool larger = larger_is_better(config_.early_stopping).value_or(true);
  if (!state_.best_metric || (larger ? *value > *state_.best_metric : *value < *state_.best_metric)) {
    state_.best_metric = *value;
    state_.evaluations_without_improvement = 0;
    save_model(best_model_path(directory_), parameters_);
  } else if (++state_.evaluations_without_improvement >= config_.patience) {
    state_.stopped_early = true;
  }
}

void TrainingRun::save() {
  const NvtxRange range("checkpoint");
  const Stopwatch watch(seconds_.checkpoints);
  take_losses();  // a run that has diverged must not be saved
  const std::span<const float> towers = parameters_.towers().flat();
  const double tables = squared_norm(backend_, parameters_.tables());
  const double layers = squared_norm(backend_, {towers.data(), 1, static_cast<std::int64_t>(towers.size())});
  // Parameters whose squares leave float's range give infinite logits: never saved over a good checkpoint.
  if (!(tables + layers <= static_cast<double>(std::numeric_limits<float>::max())))
    throw divergence("the parameters have diverged", state_.step);
  add_events({{"norm/tables", std::sqrt(tables)}, {"norm/towers", std::sqrt(layers)}});
  directory_.sync_metrics();
  save_checkpoint(directory_.checkpoint_path(state_.step), state_, parameters_, trainer_.optimizer(), progressive_);
  directory_.prune_checkpoints(config_.keep_checkpoints);
  saved_step_ = state_.step;
}

}  // namespace esmm
