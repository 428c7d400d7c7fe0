#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/config.hpp"
#include "engine/model.hpp"
#include "engine/model_optimizer.hpp"

namespace esmm {

/// Trains one model: start reading the code at `step`.
class Trainer {
 public:
  static constexpr std::int64_t kMostPendingLosses = 256;

  Trainer(Backend& backend, const Config& config, Parameters& parameters, std::int64_t total_steps);

  /// Makes room for the largest batch, so that no step has to: what Backend::replay has recorded must not move.
  void reserve(std::int64_t rows, std::int64_t common_rows);
  /// One step on one batch: forward, the two-task loss over all impressions, backward, update. Only enqueues;
  /// allocates nothing once the largest batch has been seen. Bitwise deterministic.
  /// Throws Error (internal) when kMostPendingLosses losses have not been taken.
  void step(const BatchView& batch);

  [[nodiscard]] const Model& model() const { return model_; }
  [[nodiscard]] const Objective& objective() const { return objective_; }
  [[nodiscard]] std::int64_t steps() const { return step_; }
  /// Of every step since they were last taken, in order; valid until the following call. Synchronises.
  [[nodiscard]] std::span<const StepLosses> take_losses();
  [[nodiscard]] std::int64_t pending_losses() const { return pending_losses_; }
  [[nodiscard]] MatrixView<const float> logits() const { return activations_.logits(); }  // [B, 2] before the update
  [[nodiscard]] float learning_rate() const { return optimizer_.learning_rate(step_); }
  [[nodiscard]] ModelOptimizer& optimizer() { return optimizer_; }
  /// After loading a checkpoint: the next step is `steps` + 1.
  void resume_after(std::int64_t steps) { step_ = steps; }

 private:
  void keep_loss();
  [[nodiscard]] Objective step_objective() const;
  [[nodiscard]] Dropout dropout() const;

  Backend& backend_;
  Model model_;
  Objective objective_;
  float dropout_rate_;
  std::uint64_t seed_;
  ModelOptimizer optimizer_;
  Activations activations_;
  Gradients gradients_;
  Buffer<StepLosses> loss_;               // [1] of the last step: a place that replayed operations can write to
  Buffer<StepLosses> losses_;             // [kMostPendingLosses] of the steps since losses were taken
  std::vector<StepLosses> taken_losses_;  // the same on the host
  std::int64_t pending_losses_ = 0;
  std::int64_t step_ = 0;
};

}  // namespace esmm
