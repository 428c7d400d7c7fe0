#include "kernels/optimizer.hpp"

#include "kernels/backend.hpp"
#include "kernels/error.hpp"
#include "kernels/nvtx.hpp"

namespace esmm {

void validate(const OptimizerStep& optimizer) {
  if (optimizer.step < 1) throw internal_error("optimizer: step {} given, but steps count from 1", optimizer.step);
  if (optimizer.config.kind == OptimizerKind::ftrl && !(optimizer.learning_rate > 0)) {
    throw internal_error("optimizer: FTRL divides by its learning rate, which is {}", optimizer.learning_rate);
  }
}

std::int64_t state_width(OptimizerKind kind, std::int64_t dim) {
  switch (kind) {
    case OptimizerKind::sgd:
      return 0;
    case OptimizerKind::adagrad:
      return dim;
    case OptimizerKind::rowwise_adagrad:
      return 1;
    case OptimizerKind::adam:
    case OptimizerKind::ftrl:
      return 2 * dim;
  }
  throw internal_error("unknown optimizer kind {}", static_cast<int>(kind));
}

void initialise_state(Backend& backend, const OptimizerConfig& config, MatrixView<float> state, std::int64_t dim) {
  const NvtxRange range("initialise_state");
  if (state.cols != state_width(config.kind, dim)) {
    throw internal_error("initialise_state: {} state columns for {} weights, expected {}", state.cols, dim,
                         state_width(config.kind, dim));
  }
  backend.initialise_state(config, state, dim);
}

void update_dense(Backend& backend, std::span<float> parameters, std::span<const float> gradients,
                  std::span<float> state, const OptimizerStep& optimizer) {
  const NvtxRange range("update_dense");
  validate(optimizer);
  if (optimizer.config.kind == OptimizerKind::rowwise_adagrad) {
    throw internal_error("update_dense: row-wise Adagrad is for embedding tables only");
  }
  const auto count = static_cast<std::int64_t>(parameters.size());
  if (gradients.size() != parameters.size() ||
      static_cast<std::int64_t>(state.size()) != state_width(optimizer.config.kind, count)) {
    throw internal_error("update_dense: {} parameters, {} gradients and {} state values do not match", count,
                         gradients.size(), state.size());
  }
  backend.update_dense(parameters, gradients, state, optimizer);
}

void clipping_scale(Backend& backend, std::span<const float> gradients, const SortedIds* rows, float limit,
                    float* scale) {
  const NvtxRange range("clipping_scale");
  if (!(limit > 0)) throw internal_error("clipping_scale: a limit of {}, which is not above 0", limit);
  if (rows != nullptr && rows->gradient_dim == 0) throw internal_error("clipping_scale: ids without row gradients");
  backend.clipping_scale(gradients, rows, limit, scale);
}

void check_finite(Backend& backend, const TaskLosses* losses, std::span<const float> gradients, const SortedIds* rows,
                  std::int64_t* skip) {
  const NvtxRange range("check_finite");
  if (rows != nullptr && rows->gradient_dim == 0) throw internal_error("check_finite: ids without row gradients");
  backend.check_finite(losses, gradients, rows, skip);
}

double squared_norm(Backend& backend, MatrixView<const float> values) {
  const NvtxRange range("squared_norm");
  return backend.squared_norm(values);
}

}  // namespace esmm
