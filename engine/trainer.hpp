#pragma once
#include <cstdint>

#include "engine/config.hpp"
#include "engine/model.hpp"
#include "engine/model_optimizer.hpp"

namespace esmm {

/// Trains one model: start reading the code at `step`.
class Trainer {
 public:
  Trainer(Backend& backend, const Config& config, Parameters& parameters, std::int64_t total_steps);

  /// One step of ESMM on one batch: forward, the two-task loss over all impressions, backward, update. Only enqueues
  /// (unless gradients are clipped); allocates nothing once the largest batch has been seen. Bitwise deterministic.
  void step(const BatchView& batch);

  [[nodiscard]] const Model& model() const { return model_; }
  [[nodiscard]] std::int64_t steps() const { return step_; }
  /// Of the last step; valid after Backend::synchronise.
  [[nodiscard]] const TaskLosses& losses() const { return losses_; }
  [[nodiscard]] MatrixView<const float> logits() const { return activations_.logits(); }  // [B, 2] before the update
  [[nodiscard]] float learning_rate() const { return optimizer_.learning_rate(step_); }
  [[nodiscard]] ModelOptimizer& optimizer() { return optimizer_; }
  /// After loading a checkpoint: the next step is `steps` + 1.
  void resume_after(std::int64_t steps) { step_ = steps; }

 private:
  [[nodiscard]] Dropout dropout() const;

  Backend& backend_;
  Model model_;
  Objective objective_;
  float dropout_rate_;
  std::uint64_t seed_;
  ModelOptimizer optimizer_;
  Activations activations_;
  Gradients gradients_;
  TaskLosses losses_;
  std::int64_t step_ = 0;
};

}  // namespace esmm
