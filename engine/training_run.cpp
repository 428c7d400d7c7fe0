#include "engine/training_run.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/interrupt.hpp"
#include "engine/report.hpp"
#include "kernels/error.hpp"

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

std::string best_model_path(const RunDirectory& directory) {
  return directory.path() + "/checkpoints/best.safetensors";
}

}  // namespace

TrainingRun::TrainingRun(Backend& backend, const Config& config, const ModelSpec& spec, RunDirectory directory,
                         std::shared_ptr<const PackedDataset> train, std::shared_ptr<const PackedDataset> valid,
                         TrainingObserver observer)
    : backend_(backend),
      config_(config),
      directory_(std::move(directory)),
      train_data_(std::move(train)),
      valid_data_(std::move(valid)),
      observer_(std::move(observer)),
      loader_(train_data_, spec.inputs, loader_options(config)),
      total_steps_(config.epochs * loader_.batches_per_epoch()),
      parameters_(backend.memory(), spec),
      trainer_(backend, config, parameters_, total_steps_) {
  ThreadPool pool(config.threads);
  parameters_.initialise(config, pool);
  progressive_.reserve(static_cast<std::int64_t>(train_data_->statistics().impressions));
}

void TrainingRun::resume(const std::string& checkpoint) {
  state_ = load_checkpoint(checkpoint, parameters_, trainer_.optimizer(), progressive_);
  trainer_.resume_after(state_.step);
  saved_step_ = state_.step;
  directory_.rewind_metrics(state_.step);
}

TrainingResult TrainingRun::run() {
  while (!finished() && !interrupted()) train_epoch();

  TrainingResult result;
  result.interrupted = interrupted() && !finished();
  if (saved_step_ != state_.step) save();
  result.state = state_;
  const auto per_epoch = static_cast<std::int64_t>(train_data_->statistics().impressions);
  result.rows = state_.epoch * per_epoch + std::min(state_.batch * config_.batch_size, per_epoch);
  if (result.interrupted) return result;

  if (!config_.early_stopping.empty() && std::filesystem::exists(best_model_path(directory_))) {
    load_model(best_model_path(directory_), parameters_);
    last_valid_.reset();  // it was measured on later parameters
  }
  if (valid_data_ != nullptr && !last_valid_) last_valid_ = evaluate(backend_, trainer_.model(), valid_data_, {});
  save_model(directory_.model_path(), parameters_);
  result.train = progressive_.result(backend_);
  result.valid = last_valid_;
  return result;
}

void TrainingRun::train_epoch() {
  if (state_.batch == 0) progressive_.clear();
  loader_.start(state_.epoch, state_.batch);
  auto started = std::chrono::steady_clock::now();
  const auto stop_clock = [&] {
    state_.train_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  };
  while (const HostBatch* batch = loader_.next()) {
    train_batch(*batch);
    const bool evaluate_now = config_.eval_every > 0 && state_.step % config_.eval_every == 0;
    const bool save_now = config_.checkpoint_every > 0 && state_.step % config_.checkpoint_every == 0;
    if (evaluate_now || save_now || interrupted()) {
      stop_clock();
      if (evaluate_now) evaluate_valid();
      if (save_now || interrupted()) save();
      if (interrupted() || state_.stopped_early) return;
      started = std::chrono::steady_clock::now();
    }
  }
  stop_clock();
  if (evaluated_step_ != state_.step) evaluate_valid();
  ++state_.epoch;
  state_.batch = 0;
  if (config_.checkpoint_every == 0 || finished()) save();
}

void TrainingRun::train_batch(const HostBatch& batch) {
  const BatchView view = batch.view();
  trainer_.step(view);
  backend_.synchronise();
  if (may_be_last_epoch()) progressive_.add(trainer_.logits(), view.click, view.conversion);

  const TaskLosses& losses = trainer_.losses();
  const double loss = losses.total({config_.ctr_weight, config_.ctcvr_weight});
  if (!std::isfinite(loss)) {
    throw internal_error(
        "the loss is {} at step {} (epoch {}, batch {}). Lower --lr, set --clip-norm, or tame the values "
        "(--value-transform log1p). The last good checkpoint is kept in {}/checkpoints.",
        loss, trainer_.steps(), state_.epoch, state_.batch, directory_.path());
  }
  state_.step = trainer_.steps();
  ++state_.batch;
  state_.window_losses.ctr += losses.ctr;
  state_.window_losses.ctcvr += losses.ctcvr;
  ++state_.window_steps;
  if (observer_.on_step) observer_.on_step(state_.step, view.impressions(), loss);
  if (state_.step % config_.log_every == 0) log();
}

void TrainingRun::log() {
  const double steps = static_cast<double>(state_.window_steps);
  const TaskLosses mean{state_.window_losses.ctr / steps, state_.window_losses.ctcvr / steps};
  const double loss = mean.total({config_.ctr_weight, config_.ctcvr_weight});
  const double epoch = static_cast<double>(state_.epoch) +
                       static_cast<double>(state_.batch) / static_cast<double>(loader_.batches_per_epoch());
  directory_.append_metrics(nlohmann::ordered_json{{"step", state_.step},
                                                   {"epoch", epoch},
                                                   {"loss", loss},
                                                   {"ctr_loss", mean.ctr},
                                                   {"ctcvr_loss", mean.ctcvr},
                                                   {"learning_rate", shortest(trainer_.learning_rate())}}
                                .dump());
  if (observer_.on_log) {
    observer_.on_log(fmt::format("step {}/{}  epoch {:.2f}  loss {:.5f}  ctr {:.5f}  ctcvr {:.5f}", state_.step,
                                 total_steps_, epoch, loss, mean.ctr, mean.ctcvr));
  }
  state_.window_losses = {};
  state_.window_steps = 0;
}

void TrainingRun::evaluate_valid() {
  evaluated_step_ = state_.step;
  if (valid_data_ == nullptr || interrupted()) return;
  last_valid_ = evaluate(backend_, trainer_.model(), valid_data_, {});
  nlohmann::ordered_json line{{"step", state_.step}, {"split", "valid"}};
  line.update(metrics_json(*last_valid_));
  directory_.append_metrics(line.dump());
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
  save_checkpoint(directory_.checkpoint_path(state_.step), state_, parameters_, trainer_.optimizer(), progressive_);
  directory_.prune_checkpoints(config_.keep_checkpoints);
  saved_step_ = state_.step;
}

}  // namespace esmm
