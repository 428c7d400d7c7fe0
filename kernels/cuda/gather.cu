#include "kernels/gather.hpp"

#include "kernels/cuda/cuda_backend.hpp"

namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

struct GatherArguments {
  const std::uint32_t* from_rows;
  const float* from_weights;  // null: all 1
  const std::uint32_t* places;
  const std::uint32_t* offsets;
  std::int64_t fields;
  std::uint32_t* rows;
  float* weights;
};

/// A warp copies the ids of a row.
__global__ void gather_rows(GatherArguments g, std::int64_t count) {
  const std::int64_t lane = threadIdx.x % kWarp;
  for (std::int64_t r = grid_thread() / kWarp; r < count; r += grid_threads() / kWarp) {
    const std::int64_t begin = g.offsets[r * g.fields], end = g.offsets[(r + 1) * g.fields];
    const std::int64_t shift = std::int64_t{g.places[r]} - begin;
    for (std::int64_t i = begin + lane; i < end; i += kWarp) {
      g.rows[i] = g.from_rows[shift + i];
      if (g.from_weights != nullptr) g.weights[i] = g.from_weights[shift + i];
    }
  }
}

}  // namespace

void CudaBackend::gather_ids(const StoredIds& from, std::span<const std::uint32_t> places, const EmptyBags& bags) {
  const auto count = static_cast<std::int64_t>(places.size());
  const GatherArguments arguments{from.rows.data(),   from.weights.empty() ? nullptr : from.weights.data(),
                                  places.data(),      bags.offsets.data(),
                                  bags.fields,        bags.rows.data(),
                                  bags.weights.data()};
  queue_.launch<gather_rows>(thread_per_item(count * kWarp), arguments, count);
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
