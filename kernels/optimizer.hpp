#pragma once
#include <cstdint>
#include <span>

#include "kernels/view.hpp"

namespace esmm {

class Backend;
class SortedIds;
struct TaskLosses;

enum class OptimizerKind { sgd, adagrad, rowwise_adagrad, adam, ftrl };

/// Hyper-parameters; each kind reads only its own. Defaults are those of the published definitions.
struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::adam;
  float beta1 = 0.9F;                // adam
  float beta2 = 0.999F;              // adam
  float epsilon = 1e-8F;             // adam, adagrad, rowwise_adagrad
  float initial_accumulator = 0.0F;  // adagrad, rowwise_adagrad, ftrl: first value of the squared-gradient sum
  float ftrl_beta = 1.0F;            // ftrl: β; the learning rate is α
  float ftrl_l1 = 0.0F;              // ftrl: λ1
  float ftrl_l2 = 0.0F;              // ftrl: λ2
};

/// One step of an optimizer: what differs from step to step beside the gradient.
struct OptimizerStep {
  OptimizerConfig config;
  float learning_rate = 1e-3F;
  const float* gradient_scale = nullptr;  // [1] in the backend's memory, read when the operation runs: multiplies the
                                          // gradient before anything else (clipping); null: 1
  float l2 = 0.0F;                        // adds l2 · weight to the scaled gradient (coupled weight decay)
  std::int64_t step = 1;                  // counts from 1; adam's bias correction uses it
  const std::int64_t* skip = nullptr;     // [1] in the backend's memory, read when the operation runs: unless it is 0,
                                          // weights and state stay as they are to the last bit; null: 0
};

/// Throws Error (internal) if a step is counted from 0 or if FTRL, which divides by its learning rate, has none.
void validate(const OptimizerStep& optimizer);

/// State floats beside one row of `dim` weights: sgd 0 · adagrad dim · rowwise_adagrad 1 · adam 2·dim (m then v) ·
/// ftrl 2·dim (z then n).
[[nodiscard]] std::int64_t state_width(OptimizerKind kind, std::int64_t dim);

/// Fills optimizer state with its initial value (zeros, or initial_accumulator where that applies).
/// state [rows, state_width]. FTRL starts from z = 0 (McMahan et al., KDD 2013): its first step moves a weight from
/// its initial value to the closed-form solution of z after one gradient.
void initialise_state(Backend& backend, const OptimizerConfig& config, MatrixView<float> state, std::int64_t dim);

/// One optimizer step on a flat parameter vector: parameters [P], gradients [P], state [state_width(kind, P)] laid out
/// as one row of P weights. Element-wise, so bitwise deterministic. rowwise_adagrad is for tables only (throws Error).
/// Sources: Adagrad, Duchi et al. 2011 (as torch.optim.Adagrad, no decay); Adam, Kingma & Ba 2015 (tables: touched rows
/// only, as torch.optim.SparseAdam); FTRL-Proximal, McMahan et al. 2013; row-wise Adagrad, as FBGEMM
/// EXACT_ROWWISE_ADAGRAD: one accumulator per row, the mean of squared gradient elements.
void update_dense(Backend& backend, std::span<float> parameters, std::span<const float> gradients,
                  std::span<float> state, const OptimizerStep& optimizer);

/// The factor that limits the norm of a gradient, as OptimizerStep::gradient_scale takes it: scale[0] =
/// min(1, limit / ‖g‖), where g is `gradients` and, unless null, the row gradients that `embedding_gradient` left in
/// `rows`. A norm that is no number gives 1 and an infinite one 0, so that what is not finite reaches the parameters
/// and shows in the next loss. Sums of squares in double in fixed chunks: bitwise deterministic. `limit` > 0; `scale`
/// [1] in the backend's memory. Asynchronous on a device. Source: Pascanu et al., ICML 2013, algorithm 1.
void clipping_scale(Backend& backend, std::span<const float> gradients, const SortedIds* rows, float limit,
                    float* scale);

/// Whether a step is one to leave out, as OptimizerStep::skip takes it: skip[0] = 0 if its losses are finite and the
/// squared norm of its gradients is within float's range, since optimizers square them; else 1. The gradients are
/// `gradients` and, unless null, those that `embedding_gradient` left in `rows`. `losses` [1] and `skip` [1] in the
/// backend's memory. Bitwise deterministic. Asynchronous on a device.
void check_finite(Backend& backend, const TaskLosses* losses, std::span<const float> gradients, const SortedIds* rows,
                  std::int64_t* skip);

/// Σ x², accumulated in double in fixed chunks, so independent of the number of threads. Synchronises.
[[nodiscard]] double squared_norm(Backend& backend, MatrixView<const float> values);

}  // namespace esmm
