#include "engine/model_optimizer.hpp"

#include <algorithm>
#include <cmath>

#include "engine/schedule.hpp"

namespace esmm {

namespace {

MatrixView<float> as_row(std::span<float> values) {
  const auto size = static_cast<std::int64_t>(values.size());
  return {values.data(), 1, size};
}
StridedTensor vector_tensor(const char* name, const Buffer<float>& values, const Memory* memory) {
  return {name, values.data(), 1, values.size(), values.size(), {values.size()}, memory};
}

}  // namespace

ModelOptimizer::ModelOptimizer(Backend& backend, const Config& config, const ModelSpec& spec, std::int64_t total_steps)
    : memory_(&backend.memory()),
      config_(config),
      total_steps_(total_steps),
      state_columns_(state_width(config.optimizer, spec.dim)),
      state_stride_(backend.memory().row_stride(state_columns_)),
      rows_(spec.arena_rows()),
      table_state_(backend.memory(), rows_ * state_stride_),
      clipping_scale_(backend.memory(), 1),
      sorted_(backend.make_sorted_ids()) {
  const OptimizerKind kind = tower_optimizer(config);
  const TowerParameters shape_only(backend.memory(), spec.towers);
  const auto weights = static_cast<std::int64_t>(shape_only.weights().size());
  const auto offsets = static_cast<std::int64_t>(shape_only.offsets().size());
  weight_state_ = Buffer<float>(backend.memory(), state_width(kind, weights));
  offset_state_ = Buffer<float>(backend.memory(), state_width(kind, offsets));
  initialise_state(backend, optimizer_config(config, config.optimizer),
                   {table_state_.data(), rows_, state_columns_, state_stride_}, spec.dim);
  initialise_state(backend, optimizer_config(config, kind), as_row(weight_state_.span()), weights);
  initialise_state(backend, optimizer_config(config, kind), as_row(offset_state_.span()), offsets);
}

float ModelOptimizer::learning_rate(std::int64_t step) const {
  return static_cast<float>(static_cast<double>(config_.lr) * schedule_factor(config_, step, total_steps_));
}

OptimizerStep ModelOptimizer::plan(OptimizerKind kind, float rate, float l2, const Step& step) const {
  const double factor = schedule_factor(config_, step.number, total_steps_);
  return {.config = optimizer_config(config_, kind),
          .learning_rate = static_cast<float>(static_cast<double>(rate) * factor),
          .gradient_scale = step.gradient_scale,
          .l2 = l2,
          .step = step.number,
          .skip = step.skip};
}

void ModelOptimizer::sort(Backend& backend, const BatchView& batch) {
  sort_ids(backend, batch.sample, batch.common, *sorted_);
}

void ModelOptimizer::apply(Backend& backend, const BatchView& batch, std::int64_t step, const Gradients& gradients,
                           StepLosses* losses, Parameters& parameters) {
  const EmbeddingArena arena{parameters.tables(), {table_state_.data(), rows_, state_columns_, state_stride_}};
  const MatrixView<const float> dsample = gradients.pooled_sample();
  const MatrixView<const float> dcommon = gradients.pooled_common();
  const bool clip = config_.clip_norm > 0, clip_tables = clip && config_.clip_tables;
  const bool may_skip = config_.on_nonfinite == OnNonfinite::skip;
  const bool judges_tables = clip_tables || may_skip;  // which needs every gradient before any row may move

  if (judges_tables) {
    embedding_gradient(backend, *sorted_, batch.sample, batch.common, dsample, dcommon, arena.weights.cols);
  }
  if (clip) {
    clipping_scale(backend, gradients.towers().flat(), clip_tables ? sorted_.get() : nullptr, config_.clip_norm,
                   clipping_scale_.data());
  }
  if (may_skip) check_finite(backend, losses, gradients.towers().flat(), sorted_.get(), &losses->skipped);
  const Step towers{step, clip ? clipping_scale_.data() : nullptr, may_skip ? &losses->skipped : nullptr};
  const OptimizerStep tables = plan(config_.optimizer, config_.lr, config_.embedding_l2,
                                    {step, clip_tables ? towers.gradient_scale : nullptr, towers.skip});
  if (judges_tables) {
    update_rows(backend, *sorted_, tables, arena);
  } else {
    update_embeddings(backend, *sorted_, batch.sample, batch.common, dsample, dcommon, tables, arena);
  }
  update_towers(backend, towers, gradients, parameters);
}

void ModelOptimizer::update_towers(Backend& backend, const Step& step, const Gradients& gradients,
                                   Parameters& parameters) {
  const OptimizerKind kind = tower_optimizer(config_);
  const float rate = config_.tower_lr.value_or(config_.lr);
  update_dense(backend, parameters.towers().weights(), gradients.towers().weights(), weight_state_.span(),
               plan(kind, rate, config_.tower_l2, step));
  update_dense(backend, parameters.towers().offsets(), gradients.towers().offsets(), offset_state_.span(),
               plan(kind, rate, 0.0F, step));
}

std::vector<StridedTensor> ModelOptimizer::tensors() const {
  return {
      {"optimizer.tables", table_state_.data(), rows_, state_columns_, state_stride_, {rows_, state_columns_}, memory_},
      vector_tensor("optimizer.tower_weights", weight_state_, memory_),
      vector_tensor("optimizer.tower_offsets", offset_state_, memory_)};
}

void ModelOptimizer::load(const SafetensorsFile& file) {
  for (const StridedTensor& tensor : tensors()) {
    file.read(tensor.name, const_cast<float*>(tensor.data), tensor.rows, tensor.cols, tensor.stride, memory_);
  }
}

}  // namespace esmm
