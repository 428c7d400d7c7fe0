#pragma once
#include <array>
#include <memory>

#include "kernels/cuda/command_queue.hpp"
#include "kernels/view.hpp"

// The seam to cuBLASLt: blas_cublaslt.cu on the GPU, a plain host implementation in the tests
// (tests/simt/blas_host.cpp).
namespace esmm::ESMM_DEVICE_NAMESPACE {

enum class Transposed { none, a, b };

/// out = a·b, or aᵀ·b, or a·bᵀ; row-major, out must not overlap a or b. Without any columns in a the result is zero.
template <class T>
struct Product {
  MatrixView<const T> a;  // [M, K], transposed: [K, M]
  MatrixView<const T> b;  // [K, N], transposed: [N, K]
  MatrixView<float> out;  // [M, N]
  Transposed transposed = Transposed::none;

  [[nodiscard]] std::int64_t depth() const { return transposed == Transposed::a ? a.rows : a.cols; }  // K
};
template <class T>
using ProductPair = std::array<Product<T>, 2>;

/// Matrix products in the order of the queue. fp32 is computed as fp32 (no TF32); bf16 is summed in fp32. Asynchronous;
/// bitwise deterministic for one shape, alignment and card model. The way to compute a shape is chosen, and its
/// workspace allocated, before anything is enqueued, so that products may be recorded from the first call on.
///
/// Nothing is fused into a product: bias, activation, dropout and their gradients are kernels of tower_chain.cu, which
/// must run anyway for PReLU, dropout and the common half of the first layer.
class Blas {
 public:
  Blas(CommandQueue& queue, DeviceMemory& memory);
  ~Blas();

  void multiply(const Product<float>& product);
  void multiply(const Product<__nv_bfloat16>& product);
  /// Two products of the same shape and strides, as one call where their distances in memory allow it.
  void multiply(const ProductPair<float>& pair);
  void multiply(const ProductPair<__nv_bfloat16>& pair);

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
