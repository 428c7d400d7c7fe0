#include "kernels/separate_towers.hpp"

#include "kernels/cpu/cpu_backend.hpp"

namespace esmm::cpu {

void CpuBackend::separate_towers(MatrixView<float> first_layer, std::int64_t pooled, std::int64_t dim) {
  const std::int64_t width = first_layer.cols / static_cast<std::int64_t>(kTowers);
  for (std::int64_t i = 0; i < pooled; ++i) {
    for (std::int64_t c = 0; c < first_layer.cols; ++c) {
      if (!tower_reads(c / width, i, pooled, dim)) first_layer(i, c) = 0.0F;
    }
  }
}

}  // namespace esmm::cpu
