#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sort.hpp"

namespace esmm::cuda {

namespace {

std::size_t sort_bytes(std::int64_t count) {
  std::size_t bytes = 0;
  const std::uint32_t* in = nullptr;
  std::uint32_t* out = nullptr;
  check(cub::DeviceRadixSort::SortPairs(nullptr, bytes, in, out, in, out, count), "radix sort");
  return bytes;
}

std::size_t sum_bytes(std::int64_t count) {
  std::size_t bytes = 0;
  const std::uint32_t* in = nullptr;
  std::uint32_t* out = nullptr;
  check(cub::DeviceScan::InclusiveSum(nullptr, bytes, in, out, count), "prefix sum");
  return bytes;
}

}  // namespace

void reserve_sort(std::int64_t count, Buffer<unsigned char>& scratch) {
  scratch.resize(static_cast<std::int64_t>(std::max(sort_bytes(count), sum_bytes(count))));
}

void sort_pairs(const SortBuffers& buffers, std::int64_t count, int bits, Buffer<unsigned char>& scratch,
                cudaStream_t stream) {
  auto bytes = static_cast<std::size_t>(scratch.size());
  check(cub::DeviceRadixSort::SortPairs(scratch.data(), bytes, buffers.keys_in, buffers.keys_out, buffers.values_in,
                                        buffers.values_out, count, 0, bits, stream),
        "radix sort");
}

void inclusive_sum(const std::uint32_t* in, std::uint32_t* out, std::int64_t count, Buffer<unsigned char>& scratch,
                   cudaStream_t stream) {
  auto bytes = static_cast<std::size_t>(scratch.size());
  check(cub::DeviceScan::InclusiveSum(scratch.data(), bytes, in, out, count, stream), "prefix sum");
}

}  // namespace esmm::cuda
