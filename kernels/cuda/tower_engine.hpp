#pragma once
#include <string>

#include "kernels/cuda/options.hpp"
#include "kernels/cuda/tower_chain.hpp"

namespace esmm::ESMM_DEVICE_NAMESPACE {

/// The towers on the device: forward and backward as in kernels/towers.hpp, by the kernels that the options name.
class TowerEngine {
 public:
  TowerEngine(CommandQueue& queue, DeviceMemory& memory, const DeviceOptions& options);

  void forward(const TowerShape& shape, const TowerViews<const float>& parameters, const TowerInputs& inputs,
               const Dropout& dropout, TowerWorkspace& workspace, MatrixView<float> logits);
  void backward(const TowerShape& shape, const TowerViews<const float>& parameters, const TowerInputs& inputs,
                const Dropout& dropout, MatrixView<const float> dlogits, TowerWorkspace& workspace,
                const TowerViews<float>& gradients, MatrixView<float> dcommon, MatrixView<float> dsample);

 private:
  TowerChain chain_;
};

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
