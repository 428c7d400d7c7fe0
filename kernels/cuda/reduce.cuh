#pragma once
#include "kernels/cuda/device.cuh"

namespace esmm::ESMM_DEVICE_NAMESPACE {

inline constexpr unsigned kReduceBlock = 256;  // threads of kernels that call block_sum

/// The sum of `value` over the block's kReduceBlock threads, in a fixed order; valid in thread 0. `scratch`: shared
/// memory of kReduceBlock values. All threads must call it; a barrier precedes the first write, so that calls may
/// follow one another.
template <class T>
__device__ inline T block_sum(T value, T* scratch) {
  __syncthreads();
  scratch[threadIdx.x] = value;
  for (unsigned half = kReduceBlock / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) scratch[threadIdx.x] += scratch[threadIdx.x + half];
  }
  return threadIdx.x == 0 ? scratch[0] : T{};  // the others would read what a next call overwrites
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
