#pragma once
#include "kernels/cuda/blas.hpp"
#include "kernels/cuda/options.hpp"
#include "kernels/cuda/tower_pass.hpp"

namespace esmm::ESMM_DEVICE_NAMESPACE {

/// The towers as a chain of matrix products with kernels of units in between: any shape, any precision.
class TowerChain {
 public:
  TowerChain(CommandQueue& queue, DeviceMemory& memory, Precision precision);
  void forward(const TowerPass& pass, MatrixView<float> logits);
  void backward(const TowerPass& pass, const TowerGradients& gradients);

 private:
  template <class T>
  struct Run;

  CommandQueue& queue_;
  Precision precision_;
  Blas blas_;
  Buffer<float> products_;  // [B, width] results of products in bf16; in fp32 they go where z, a or dz will be
};

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
