#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/config.hpp"
#include "engine/model.hpp"

namespace esmm {

/// What a step leaves in the backend's memory for the host to read later.
struct StepLosses : TaskLosses {
  std::int64_t skipped = 0;  // 1: it moved nothing
};

/// Moves all parameters of a model by one step: tables (touched rows only, fused with the gradient's reduction) and
/// towers. Owns the optimizer state.
class ModelOptimizer {
 public:
  ModelOptimizer(Backend& backend, const Config& config, const ModelSpec& spec, std::int64_t total_steps);

  /// Sorts the batch's ids, which `apply` needs; at any time before it.
  void sort(Backend& backend, const BatchView& batch);
  /// One update; `step` counts from 1. Only enqueues. With --on-nonfinite skip the backend decides by this step's own
  /// gradients and `losses` (in its memory) whether anything moves, and says so there; skipped steps count, too.
  void apply(Backend& backend, const BatchView& batch, std::int64_t step, const Gradients& gradients,
             StepLosses* losses, Parameters& parameters);
  /// The tables' learning rate at `step`.
  [[nodiscard]] float learning_rate(std::int64_t step) const;

  /// Optimizer state for a checkpoint: "optimizer.tables" [V, S], "optimizer.tower_weights", "optimizer.tower_offsets".
  [[nodiscard]] std::vector<StridedTensor> tensors() const;
  void load(const SafetensorsFile& file);

 private:
  /// What one step's updates have in common; the pointers are OptimizerStep's.
  struct Step {
    std::int64_t number;
    const float* gradient_scale;
    const std::int64_t* skip;
  };
  [[nodiscard]] OptimizerStep plan(OptimizerKind kind, float rate, float l2, const Step& step) const;
  void update_towers(Backend& backend, const Step& step, const Gradients& gradients, Parameters& parameters);

  Memory* memory_;
  Config config_;
  std::int64_t total_steps_;
  std::int64_t state_columns_, state_stride_, rows_;
  Buffer<float> table_state_, weight_state_, offset_state_;
  Buffer<float> clipping_scale_;  // [1] of this step's gradients
  std::unique_ptr<SortedIds> sorted_;
};

}  // namespace esmm
