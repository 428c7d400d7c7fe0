#pragma once
#include "kernels/buffer.hpp"
#include "kernels/cpu/tower_pass.hpp"
#include "kernels/thread_pool.hpp"

// The towers with products of bfloat16, summed in fp32. Inputs, weights, dz and what is kept for backward (z, a) are
// rounded; parameters, the common half of the first layer, the output layer, biases and slopes stay fp32.
namespace esmm::cpu {

/// `scratch` is sized here, for every thread of the pool.
void towers_forward_bf16(ThreadPool& pool, Buffer<float>& scratch, const Pass& pass, MatrixView<float> logits);
void towers_backward_bf16(ThreadPool& pool, Buffer<float>& scratch, const Pass& pass, MatrixView<const float> dlogits,
                          const TowerViews<float>& gradients, MatrixView<float> dcommon, MatrixView<float> dsample);

}  // namespace esmm::cpu
