#include "kernels/cuda/tower_engine.hpp"

namespace esmm::ESMM_DEVICE_NAMESPACE {

TowerEngine::TowerEngine(CommandQueue& queue, DeviceMemory& memory, const DeviceOptions& options)
    : chain_(queue, memory, options.precision) {}

void TowerEngine::forward(const TowerShape& shape, const TowerViews<const float>& parameters, const TowerInputs& inputs,
                          const Dropout& dropout, TowerWorkspace& workspace, MatrixView<float> logits) {
  chain_.forward({shape, parameters, inputs, dropout, workspace}, logits);
}

void TowerEngine::backward(const TowerShape& shape, const TowerViews<const float>& parameters,
                           const TowerInputs& inputs, const Dropout& dropout, MatrixView<const float> dlogits,
                           TowerWorkspace& workspace, const TowerViews<float>& gradients, MatrixView<float> dcommon,
                           MatrixView<float> dsample) {
  chain_.backward({shape, parameters, inputs, dropout, workspace}, {dlogits, gradients, dcommon, dsample});
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
