#pragma once
#include <string>
#include <vector>

#include "kernels/cuda/options.hpp"
#include "kernels/cuda/tower_pass.hpp"

namespace esmm::ESMM_DEVICE_NAMESPACE {

/// The towers as few kernels, each of which takes a tile of impressions through all layers of a tower with its
/// activations in shared memory. For shapes whose tile fits there.
class TowerFused {
 public:
  TowerFused(CommandQueue& queue, DeviceMemory& memory, Precision precision);
  /// Whether tiles of this shape fit into the shared memory of the device's blocks.
  [[nodiscard]] bool fits(const TowerShape& shape) const;
  /// Why they do not, in figures.
  [[nodiscard]] std::string misfit(const TowerShape& shape) const;
  void forward(const TowerPass& pass, MatrixView<float> logits);
  void backward(const TowerPass& pass, const TowerGradients& gradients);

 private:
  [[nodiscard]] std::size_t shared_bytes(const TowerShape& shape) const;

  CommandQueue& queue_;
  Precision precision_;
  std::size_t shared_limit_;  // of a block
  Buffer<float> slices_;      // weight gradients, summed over each slice of impressions
};

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
