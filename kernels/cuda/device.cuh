#pragma once

// The seam between nvcc and the host compiler. Every kernel file is compiled twice: by nvcc for the GPU, into
// esmm::cuda, and by the host compiler for the tests, into esmm::simt, with headers of the same names that emulate
// CUDA (tests/simt). Nothing else tells the two apart but launch.cuh.
#include <cuda_bf16.h>
#include <cuda_pipeline.h>
#include <cuda_runtime.h>
#include <mma.h>

#include <cstdint>

#if defined(__CUDACC__)
#define ESMM_DEVICE_NAMESPACE cuda
#else
#define ESMM_DEVICE_NAMESPACE simt
#endif

namespace esmm::ESMM_DEVICE_NAMESPACE {

inline constexpr unsigned kWarp = 32;
inline constexpr unsigned kAllLanes = 0xFFFFFFFFU;

/// The block's dynamic shared memory, the only shared memory there is. Its contents are undefined at first.
template <class T>
__device__ inline T* shared_memory() {
#if defined(__CUDACC__)
  extern __shared__ __align__(128) unsigned char esmm_shared_memory[];
  return reinterpret_cast<T*>(esmm_shared_memory);
#else
  return static_cast<T*>(::simt::shared_memory());
#endif
}

/// This thread's number in the grid, and the number of threads in the grid: loops over more items than that stride.
__device__ inline std::int64_t grid_thread() {
  return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
}
__device__ inline std::int64_t grid_threads() {
  return std::int64_t{gridDim.x} * blockDim.x;
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
