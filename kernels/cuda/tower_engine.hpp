#pragma once
#include <string>

#include "kernels/cuda/options.hpp"
#include "kernels/cuda/tower_chain.hpp"
#include "kernels/cuda/tower_fused.hpp"

namespace esmm::ESMM_DEVICE_NAMESPACE {

/// The towers on the device: forward and backward as in kernels/towers.hpp, by the kernels that the options name.
/// `measured` is the chain until calibrate() has timed both; shapes that the fused kernels cannot hold take the chain,
/// and calibrate() says so.
class TowerEngine {
 public:
  TowerEngine(CommandQueue& queue, DeviceMemory& memory, const DeviceOptions& options);

  void forward(const TowerShape& shape, const TowerViews<const float>& parameters, const TowerInputs& inputs,
               const Dropout& dropout, TowerWorkspace& workspace, MatrixView<float> logits);
  void backward(const TowerShape& shape, const TowerViews<const float>& parameters, const TowerInputs& inputs,
                const Dropout& dropout, MatrixView<const float> dlogits, TowerWorkspace& workspace,
                const TowerViews<float>& gradients, MatrixView<float> dcommon, MatrixView<float> dsample);

  /// Settles on kernels for this shape. If the options ask for a measurement, and only the first time: runs both
  /// kernels' passes over zeros of this shape, in memory of its own, and takes the faster from now on. If they ask for
  /// the fused kernels, which cannot hold this shape: takes the chain and has a warning. Synchronises; must not be
  /// called while a sequence is recorded. Under emulation, where time means nothing, the chain stays.
  void calibrate(const TowerShape& shape, std::int64_t impressions, std::int64_t common_rows, bool dropout);
  /// What computes the towers, to be recorded with a run and given back as an option when it resumes.
  [[nodiscard]] TowerKernels chosen() const { return chosen_; }
  /// The same in words: "chain", "fused", or with the measurement: "fused (0.41 ms a step, chain 0.55 ms)".
  [[nodiscard]] const std::string& choice() const { return choice_; }
  /// Why it is not what the options asked for, with the figures; empty if it is.
  [[nodiscard]] const std::string& warning() const { return warning_; }

 private:
  [[nodiscard]] bool takes_fused(const TowerShape& shape) const;

  CommandQueue& queue_;
  DeviceMemory& memory_;
  TowerKernels chosen_;  // chain, fused, or measured: not yet
  std::string choice_, warning_;
  TowerChain chain_;
  TowerFused fused_;
};

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
