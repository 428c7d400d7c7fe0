#include "kernels/cuda/cuda_backend.hpp"

namespace esmm::ESMM_DEVICE_NAMESPACE {

void CudaBackend::towers_forward(const TowerShape& shape, const TowerViews<const float>& parameters,
                                 const TowerInputs& inputs, const Dropout& dropout, TowerWorkspace& workspace,
                                 MatrixView<float> logits) {
  towers_.forward(shape, parameters, inputs, dropout, workspace, logits);
}

void CudaBackend::towers_backward(const TowerShape& shape, const TowerViews<const float>& parameters,
                                  const TowerInputs& inputs, const Dropout& dropout, MatrixView<const float> dlogits,
                                  TowerWorkspace& workspace, const TowerViews<float>& gradients,
                                  MatrixView<float> dcommon, MatrixView<float> dsample) {
  towers_.backward(shape, parameters, inputs, dropout, dlogits, workspace, gradients, dcommon, dsample);
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
