#include "kernels/copy.hpp"

#include "kernels/backend.hpp"
#include "kernels/error.hpp"
#include "kernels/nvtx.hpp"

namespace esmm {

void copy_matrix(Backend& backend, MatrixView<const float> from, MatrixView<float> to) {
  const NvtxRange range("copy_matrix");
  if (from.rows != to.rows || from.cols != to.cols) {
    throw internal_error("copy_matrix: from [{}, {}] to [{}, {}]", from.rows, from.cols, to.rows, to.cols);
  }
  backend.copy_matrix(from, to);
}

}  // namespace esmm
