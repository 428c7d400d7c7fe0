#include "kernels/separate_towers.hpp"

#include "kernels/backend.hpp"
#include "kernels/error.hpp"
#include "kernels/nvtx.hpp"

namespace esmm {

void separate_towers(Backend& backend, MatrixView<float> first_layer, std::int64_t pooled, std::int64_t dim) {
  const NvtxRange range("separate_towers");
  const auto towers = static_cast<std::int64_t>(kTowers);
  if (dim < 1 || pooled < 0 || pooled > first_layer.rows || pooled % (towers * dim) != 0 ||
      first_layer.cols % towers != 0) {
    throw internal_error("separate_towers: {} pooled inputs of {} values a tower in a layer [{}, {}]", pooled, dim,
                         first_layer.rows, first_layer.cols);
  }
  backend.separate_towers(first_layer, pooled, dim);
}

}  // namespace esmm
