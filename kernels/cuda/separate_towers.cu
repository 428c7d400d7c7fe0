#include "kernels/separate_towers.hpp"

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/device.cuh"

namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

__global__ void zero_unread_inputs(MatrixView<float> first_layer, std::int64_t pooled, std::int64_t dim) {
  const std::int64_t width = first_layer.cols / static_cast<std::int64_t>(kTowers);
  for (std::int64_t i = grid_thread(); i < pooled * first_layer.cols; i += grid_threads()) {
    const std::int64_t input = i / first_layer.cols, unit = i % first_layer.cols;
    if (!tower_reads(unit / width, input, pooled, dim)) first_layer(input, unit) = 0.0F;
  }
}

}  // namespace

void CudaBackend::separate_towers(MatrixView<float> first_layer, std::int64_t pooled, std::int64_t dim) {
  queue_.launch<zero_unread_inputs>(thread_per_item(pooled * first_layer.cols), first_layer, pooled, dim);
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
