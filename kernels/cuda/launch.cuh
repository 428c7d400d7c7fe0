#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "kernels/cuda/device.cuh"
#include "kernels/error.hpp"

namespace esmm::ESMM_DEVICE_NAMESPACE {

/// How many blocks of how many threads, and the dynamic shared memory of each block.
struct Geometry {
  std::int64_t grid = 0;
  unsigned block = 0;
  std::size_t shared_bytes = 0;
};

/// Enough blocks of `block` threads for one thread per item, but at most as many as fill any GPU several times over:
/// the kernel strides over the rest.
inline Geometry thread_per_item(std::int64_t items, unsigned block = 256) {
  constexpr std::int64_t kMostBlocks = 4096;
  return {std::min<std::int64_t>((items + block - 1) / block, kMostBlocks), block, 0};
}

/// Throws Error when a CUDA call failed: device (exit 4) for lack of memory, internal otherwise.
void check(cudaError_t status, const char* what);

/// More dynamic shared memory than this a kernel must ask for beforehand.
inline constexpr std::size_t kSharedBytesWithoutOptIn = 48 * 1024;

/// Enqueues kernel(args...) on `stream`; the only place where kernels are launched. An empty grid does nothing.
/// Throws Error (internal), naming the kernel, when the launch is refused.
template <auto kernel, class... Args>
void launch(const Geometry& geometry, cudaStream_t stream, const Args&... args) {
  if (geometry.grid == 0) return;
  const dim3 grid(static_cast<unsigned>(geometry.grid)), block(geometry.block);
  if (geometry.shared_bytes > kSharedBytesWithoutOptIn) {
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(geometry.shared_bytes)),
          "cudaFuncSetAttribute");
  }
#if defined(__CUDACC__)
  kernel<<<grid, block, geometry.shared_bytes, stream>>>(args...);
  check(cudaGetLastError(), __PRETTY_FUNCTION__);
#else
  check(::simt::launch<kernel>(grid, block, geometry.shared_bytes, stream, args...), __PRETTY_FUNCTION__);
#endif
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
