#pragma once
#include "kernels/view.hpp"

namespace esmm::cpu {

enum class Gemm { overwrite, accumulate };

/// c = a·b, or c += a·b. a [rows, depth], b [depth, cols], c [rows, cols], row-major. Each element is summed over the
/// depth in order with fused multiply-adds where the processor has them. Runs on the calling thread: meant for tiles
/// that fit the caches. Looking a shape up costs tens of nanoseconds; the first use of a shape compiles its kernel.
void gemm(MatrixView<const float> a, MatrixView<const float> b, MatrixView<float> c, Gemm mode);

/// c = aᵀ·b, or c += aᵀ·b. a [depth, rows], b [depth, cols], c [rows, cols].
void gemm_transposed_a(MatrixView<const float> a, MatrixView<const float> b, MatrixView<float> c, Gemm mode);

/// Takes the memory in which compiled kernels are found again, which the first product would do without looking whether
/// it was given any. Throws Error (device) when it was not. Before the first product.
void prepare_gemm();

}  // namespace esmm::cpu
