#pragma once
#include "kernels/view.hpp"

// The output layer of one tower, whose products have one column: vectors run over the hidden units instead. On the
// calling thread. a [R, K] last hidden layer, weight [K, 1], logits and dlogits [R, 1].
namespace esmm::cpu {

/// logits = a·weight + bias, each row summed in sixteen interleaved partial sums.
void output_forward(MatrixView<const float> a, MatrixView<const float> weight, float bias, MatrixView<float> logits);

/// da [R, K] = dlogits·weightᵀ.
void output_dgrad(MatrixView<const float> dlogits, MatrixView<const float> weight, MatrixView<float> da);

/// dweight [K, 1] += aᵀ·dlogits, summed over the rows in order.
void output_wgrad(MatrixView<const float> a, MatrixView<const float> dlogits, MatrixView<float> dweight);

}  // namespace esmm::cpu
