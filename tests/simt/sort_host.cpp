#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sort.hpp"

// Sorts and prefix sums of the emulated device, each enqueued as one operation.
namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

void sort(const SortBuffers& buffers, std::int64_t count) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t a, std::int64_t b) { return buffers.keys_in[a] < buffers.keys_in[b]; });
  std::int64_t to = 0;
  for (const std::int64_t from : order) {
    buffers.keys_out[to] = buffers.keys_in[from];
    buffers.values_out[to++] = buffers.values_in[from];
  }
}

}  // namespace

void reserve_sort(std::int64_t count, Buffer<unsigned char>& scratch) {
  scratch.resize(count);
}

void sort_pairs(const SortBuffers& buffers, std::int64_t count, int /*bits*/, Buffer<unsigned char>& /*scratch*/,
                cudaStream_t stream) {
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(std::uint32_t);
  check(::simt::enqueue_host("sort_pairs", stream, {{buffers.keys_in, bytes}, {buffers.values_in, bytes}},
                             {{buffers.keys_out, bytes}, {buffers.values_out, bytes}},
                             [buffers, count] { sort(buffers, count); }),
        "sort_pairs");
}

void inclusive_sum(const std::uint32_t* in, std::uint32_t* out, std::int64_t count, Buffer<unsigned char>& /*scratch*/,
                   cudaStream_t stream) {
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(std::uint32_t);
  check(::simt::enqueue_host("inclusive_sum", stream, {{in, bytes}}, {{out, bytes}},
                             [=] { std::partial_sum(in, in + count, out); }),
        "inclusive_sum");
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
