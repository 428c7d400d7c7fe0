#pragma once
#include <cstdint>

#include "kernels/buffer.hpp"
#include "kernels/cuda/device.cuh"

// The seam to CUB: sort_cub.cu on the GPU, a plain host implementation in the tests. Both only enqueue on `stream`;
// `scratch` must have been made large enough by reserve_sort.
namespace esmm::ESMM_DEVICE_NAMESPACE {

/// Sorts keys_in with values_in by key, stably, into keys_out and values_out; the inputs are kept. `bits`: keys are
/// below 2^bits.
struct SortBuffers {
  const std::uint32_t* keys_in;
  const std::uint32_t* values_in;
  std::uint32_t* keys_out;
  std::uint32_t* values_out;
};
void sort_pairs(const SortBuffers& buffers, std::int64_t count, int bits, Buffer<unsigned char>& scratch,
                cudaStream_t stream);

/// out[i] = in[0] + … + in[i]; not in place.
void inclusive_sum(const std::uint32_t* in, std::uint32_t* out, std::int64_t count, Buffer<unsigned char>& scratch,
                   cudaStream_t stream);

/// Makes room in `scratch` for both with so many elements: to be called before anything is recorded.
void reserve_sort(std::int64_t count, Buffer<unsigned char>& scratch);

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
