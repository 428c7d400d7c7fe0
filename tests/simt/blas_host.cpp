#include "kernels/cuda/blas.hpp"

#include <utility>
#include <vector>

// Matrix products of the emulated device, each enqueued as one operation on the host. Every element is summed in order
// of k, in fp32.
namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

template <class T>
void multiply_on_host(const Product<T>& p) {
  for (std::int64_t m = 0; m < p.out.rows; ++m) {
    float* out = p.out.row(m);
    for (std::int64_t n = 0; n < p.out.cols; ++n) out[n] = 0.0F;
    for (std::int64_t k = 0; k < p.depth(); ++k) {
      const float a = p.transposed == Transposed::a ? p.a(k, m) : p.a(m, k);
      const T* b = p.transposed == Transposed::b ? p.b.data + k : p.b.row(k);
      const std::int64_t step = p.transposed == Transposed::b ? p.b.stride : 1;
      for (std::int64_t n = 0; n < p.out.cols; ++n) out[n] += a * static_cast<float>(b[n * step]);
    }
  }
}

/// The bytes of a matrix, row by row: what lies between them is none of its business.
template <class T>
void add_rows(MatrixView<T> matrix, std::vector<::simt::Bytes>& bytes) {
  for (std::int64_t r = 0; r < matrix.rows; ++r) {
    bytes.push_back({matrix.row(r), static_cast<std::size_t>(matrix.cols) * sizeof(T)});
  }
}

}  // namespace

struct Blas::Implementation {
  CommandQueue& queue;

  template <class T>
  void multiply(const Product<T>& product) {
    if (product.out.empty()) return;
    std::vector<::simt::Bytes> reads, writes;
    add_rows(product.a, reads);
    add_rows(product.b, reads);
    add_rows(product.out, writes);
    queue.enqueue([&](cudaStream_t stream) {
      check(::simt::enqueue_host("blas_multiply", stream, std::move(reads), std::move(writes),
                                 [product] { multiply_on_host(product); }),
            "blas_multiply");
    });
  }
};

Blas::Blas(CommandQueue& queue, DeviceMemory& /*memory*/)
    : implementation_(std::make_unique<Implementation>(Implementation{queue})) {}
Blas::~Blas() = default;

void Blas::multiply(const Product<float>& product) {
  implementation_->multiply(product);
}
void Blas::multiply(const Product<__nv_bfloat16>& product) {
  implementation_->multiply(product);
}
void Blas::multiply(const ProductPair<float>& pair) {
  for (const auto& product : pair) implementation_->multiply(product);
}
void Blas::multiply(const ProductPair<__nv_bfloat16>& pair) {
  for (const auto& product : pair) implementation_->multiply(product);
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
