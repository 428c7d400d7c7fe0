#pragma once
#include "kernels/cpu/bf16_product.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/view.hpp"

// Matrices of bfloat16 (Bf16) and products of them, on the calling thread. Pairs run along the depth of a product, as
// AVX512-BF16 multiplies them; where a matrix ends within a pair, the other half is zero.
namespace esmm::cpu {

/// to = from, rounded to the nearest, ties to even; a NaN stays one.
void round_to_bf16(MatrixView<const float> from, MatrixView<Bf16> to);
void widen_to_float(MatrixView<const Bf16> from, MatrixView<float> to);

/// to(p, c) = {from(2p, c), from(2p + 1, c)}. to has half the rows of from, rounded up.
void pair_rows(MatrixView<const float> from, MatrixView<Bf16Pair> to);
void pair_rows(MatrixView<const Bf16> from, MatrixView<Bf16Pair> to);
/// to(p, r) = {from(r, 2p), from(r, 2p + 1)}: the paired rows of the transpose of from.
void pair_columns(MatrixView<const float> from, MatrixView<Bf16Pair> to);

/// c = a·b, or c += a·b, summed in fp32. a [rows, depth], b = pair_rows of [depth, cols], c [rows, cols]. By
/// AVX512-BF16 where the processor has it, else by plain loops.
void gemm_bf16(MatrixView<const Bf16> a, MatrixView<const Bf16Pair> b, MatrixView<float> c, Gemm mode);
/// c = aᵀ·b, or c += aᵀ·b. a and b are pair_rows of [depth, rows] and [depth, cols].
void gemm_bf16_transposed_a(MatrixView<const Bf16Pair> a, MatrixView<const Bf16Pair> b, MatrixView<float> c, Gemm mode);

}  // namespace esmm::cpu
