#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/buffer.hpp"
#include "kernels/view.hpp"

namespace esmm {

class Backend;

inline constexpr int kTowers = 2;  // 0: pCTR, 1: pCVR
enum class Activation { relu, prelu };

/// Both towers have the same shape: inputs → hidden[0] → … → hidden[L-1] → 1 logit.
struct TowerShape {
  std::int64_t common_inputs = 0;    // Ic = Fc*D
  std::int64_t sample_inputs = 0;    // Is = Fs*D + E
  std::vector<std::int64_t> hidden;  // H1 … HL, at least one
  Activation activation = Activation::prelu;
  float dropout = 0.0F;  // probability of dropping a hidden unit, in [0, 1)
};

template <class T>
struct DenseLayer {
  MatrixView<T> weight;  // [K, N]
  std::span<T> bias;     // [N]
  std::span<T> slope;    // [N] PReLU slope of negative inputs, one per unit; empty for ReLU and for the output layer
};

/// Views of the towers' parameters, or of their gradients. Both towers' first layers are one product of width 2·H1
/// (columns of tower 0, then of tower 1), and its weight is split by rows into a common and a sample half.
template <class T>
struct TowerViews {
  MatrixView<T> first_common;                              // [Ic, 2*H1]
  MatrixView<T> first_sample;                              // [Is, 2*H1]
  std::span<T> first_bias;                                 // [2*H1]
  std::span<T> first_slope;                                // [2*H1] or empty
  std::array<std::vector<DenseLayer<T>>, kTowers> deeper;  // H1→H2, …, HL→1
};

/// Inputs of the towers. Every impression of common row u lies in [common_begin[u], common_begin[u+1]).
struct TowerInputs {
  MatrixView<const float> common;               // [U, Ic]
  MatrixView<const float> sample;               // [B, Is]
  std::span<const std::uint32_t> common_begin;  // [U + 1]
};

/// Whether dropout is on, and the key of its counter-based random numbers: the same (seed, step) gives the same mask.
struct Dropout {
  bool active = false;
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
};

/// Everything that forward keeps for backward, plus scratch. Grows to the largest batch, then allocates no more.
class TowerWorkspace {
 public:
  explicit TowerWorkspace(Memory& memory)
      : first_common(memory, 0),
        transposed(memory, 0),
        partial(memory, 0),
        converted(memory, 0),
        user(memory, 0),
        memory_(&memory) {}
  /// Sizes first_common and layers for B impressions and U common rows; the rest is scratch that a backend sizes.
  void prepare(const TowerShape& shape, std::int64_t impressions, std::int64_t common_rows);

  /// Whether z, a and dz hold bfloat16 instead, two to a float, at the front of their buffers; set by forward.
  bool bf16 = false;
  struct Layer {
    Buffer<float> z;   // [B, width] before the activation; unused for ReLU, which works in place in a
    Buffer<float> a;   // [B, width] after activation and dropout
    Buffer<float> dz;  // [B, width]
  };
  Buffer<float> first_common;  // [U, 2*H1] the common half of the first layer, then its gradient
  std::vector<Layer> layers;   // width 2*H1, then 2*H2, …: tower 0's columns, then tower 1's
  Buffer<float> transposed;    // transposed weights for dgrad
  Buffer<float> partial;       // ordered partial sums
  Buffer<float> converted;     // inputs and weights as a kernel wants them: bf16, padded
  Buffer<std::uint32_t> user;  // [B] each impression's common row

 private:
  Memory* memory_;
};

/// logits [B, 2]: column 0 = click logit a, column 1 = conversion logit b. First layer:
/// act(common·W_common (once per common row) + sample·W_sample + bias). Dropout is inverted (kept units × 1/(1-p)).
/// Bitwise deterministic. Source: arXiv:1804.07931 §2.3, fig. 2; PReLU: arXiv:1502.01852.
void towers_forward(Backend& backend, const TowerShape& shape, const TowerViews<const float>& parameters,
                    const TowerInputs& inputs, const Dropout& dropout, TowerWorkspace& workspace,
                    MatrixView<float> logits);

/// Given dlogits [B, 2], writes (not adds) the gradients of all parameters, dcommon [U, Ic] and dsample [B, n] where
/// n <= Is: the gradient of the first n sample inputs (dense features at the end need none).
/// Must follow towers_forward with the same arguments. Bitwise deterministic, whatever the number of threads.
void towers_backward(Backend& backend, const TowerShape& shape, const TowerViews<const float>& parameters,
                     const TowerInputs& inputs, const Dropout& dropout, MatrixView<const float> dlogits,
                     TowerWorkspace& workspace, const TowerViews<float>& gradients, MatrixView<float> dcommon,
                     MatrixView<float> dsample);

}  // namespace esmm
