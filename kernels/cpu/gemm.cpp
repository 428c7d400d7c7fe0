#include "kernels/cpu/gemm.hpp"

#include <libxsmm.h>

#include <cstdlib>

#include "kernels/error.hpp"

namespace esmm::cpu {

namespace {

// Sanitizers cannot look into code compiled at run time, so their builds use the plain loops.
#if defined(ESMM_SANITIZED)
constexpr bool kCompileKernels = false;
#else
constexpr bool kCompileKernels = true;
#endif

struct Shape {
  MatrixView<const float> a, b;
  MatrixView<float> c;
  std::int64_t depth;
  bool transposed_a;
  Gemm mode;
};

/// libxsmm is column-major: it sees cᵀ = bᵀ·aᵀ, so that b comes first and nothing has to be copied. Null where libxsmm
/// has no kernel (an empty product, or a processor that it cannot compile for).
libxsmm_smmfunction compiled_kernel(const Shape& s) {
  if (!kCompileKernels || s.c.empty() || s.depth == 0) return nullptr;
  const auto size = [](std::int64_t value) { return static_cast<libxsmm_blasint>(value); };
  const libxsmm_blasint ldb = size(s.b.stride), lda = size(s.a.stride), ldc = size(s.c.stride);
  const float alpha = 1.0F, beta = s.mode == Gemm::accumulate ? 1.0F : 0.0F;
  const int flags = s.transposed_a ? LIBXSMM_GEMM_FLAG_TRANS_B : LIBXSMM_GEMM_FLAG_NONE;
  const int prefetch = LIBXSMM_GEMM_PREFETCH_NONE;
  return libxsmm_smmdispatch(size(s.c.cols), size(s.c.rows), size(s.depth), &ldb, &lda, &ldc, &alpha, &beta, &flags,
                             &prefetch);
}

void plain_loops(const Shape& s) {
  for (std::int64_t r = 0; r < s.c.rows; ++r) {
    float* out = s.c.row(r);
    for (std::int64_t j = 0; j < s.c.cols && s.mode == Gemm::overwrite; ++j) out[j] = 0.0F;
    for (std::int64_t k = 0; k < s.depth; ++k) {
      const float factor = s.transposed_a ? s.a(k, r) : s.a(r, k);
      for (std::int64_t j = 0; j < s.c.cols; ++j) out[j] += factor * s.b(k, j);
    }
  }
}

void multiply(const Shape& s) {
  if (const auto kernel = compiled_kernel(s)) {
    kernel(s.b.data, s.a.data, s.c.data);
  } else {
    plain_loops(s);
  }
}

}  // namespace

void gemm(MatrixView<const float> a, MatrixView<const float> b, MatrixView<float> c, Gemm mode) {
  multiply({a, b, c, a.cols, false, mode});
}

void gemm_transposed_a(MatrixView<const float> a, MatrixView<const float> b, MatrixView<float> c, Gemm mode) {
  multiply({a, b, c, a.rows, true, mode});
}

void prepare_gemm() {
  libxsmm_registry_info registry;
  if (kCompileKernels && libxsmm_get_registry_info(&registry) != EXIT_SUCCESS) {
    throw device_error(
        "out of memory: there is none for the products of matrices. Lower --dim, --window-mb or --threads.");
  }
}

}  // namespace esmm::cpu
