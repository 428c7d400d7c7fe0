#include "kernels/cuda/sorted_ids.hpp"

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/device_bags.cuh"
#include "kernels/cuda/sort.hpp"

namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

constexpr unsigned kBagLanes = 8;

/// Row, number and bag of every occurrence of one side, the first of which has number `first`; padding gets kNoRow.
__global__ void list_occurrences(DeviceBags bags, std::uint32_t first, std::uint32_t* keys, std::uint32_t* occurrences,
                                 std::uint32_t* bag_of) {
  const std::int64_t lane = threadIdx.x % kBagLanes;
  for (std::int64_t bag = grid_thread() / kBagLanes; bag < bags.count; bag += grid_threads() / kBagLanes) {
    for (std::int64_t i = bags.offsets[bag] + lane; i < bags.offsets[bag + 1]; i += kBagLanes) {
      const auto occurrence = first + static_cast<std::uint32_t>(i);
      keys[occurrence] = bags.rows[i];
      occurrences[occurrence] = occurrence;
      bag_of[occurrence] = static_cast<std::uint32_t>(bag);
    }
  }
  const std::int64_t used = bags.count == 0 ? 0 : bags.offsets[bags.count];
  for (std::int64_t i = used + grid_thread(); i < bags.ids; i += grid_threads()) {
    const auto occurrence = first + static_cast<std::uint32_t>(i);
    keys[occurrence] = kNoRow;
    occurrences[occurrence] = occurrence;
    bag_of[occurrence] = 0;
  }
}

__global__ void mark_heads(const std::uint32_t* keys, std::int64_t count, std::uint32_t* heads) {
  for (std::int64_t i = grid_thread(); i < count; i += grid_threads()) {
    heads[i] = keys[i] != kNoRow && (i == 0 || keys[i] != keys[i - 1]) ? 1 : 0;
  }
}

__global__ void write_segments(const std::uint32_t* keys, const std::uint32_t* segment, std::int64_t count,
                               std::uint32_t* rows, std::uint32_t* begin, std::uint32_t* segments) {
  for (std::int64_t i = grid_thread(); i < count; i += grid_threads()) {
    if (keys[i] == kNoRow) {
      if (i == 0) begin[0] = 0, *segments = 0;
      continue;
    }
    const std::uint32_t s = segment[i] - 1;
    if (i == 0 || keys[i] != keys[i - 1]) {
      rows[s] = keys[i];
      begin[s] = static_cast<std::uint32_t>(i);
    }
    if (i == count - 1 || keys[i + 1] == kNoRow) {
      begin[s + 1] = static_cast<std::uint32_t>(i + 1);
      *segments = s + 1;
    }
  }
}

}  // namespace

DeviceSortedIds::DeviceSortedIds(Memory& memory)
    : bag(memory, 0),
      unsorted_keys(memory, 0),
      unsorted(memory, 0),
      keys(memory, 0),
      sorted(memory, 0),
      heads(memory, 0),
      segment(memory, 0),
      rows(memory, 0),
      begin(memory, 1),
      count(memory, 1),
      gradient(memory, 0),
      scratch(memory, 0) {}

void DeviceSortedIds::resize(std::int64_t occurrences) {
  for (Buffer<std::uint32_t>* buffer : {&bag, &unsorted_keys, &unsorted, &keys, &sorted, &heads, &segment, &rows}) {
    buffer->resize(occurrences);
  }
  begin.resize(occurrences + 1);
  reserve_sort(occurrences, scratch);
}

std::unique_ptr<SortedIds> CudaBackend::make_sorted_ids() {
  return std::make_unique<DeviceSortedIds>(memory_);
}

void CudaBackend::sort_ids(const Bags& sample, const Bags& common, SortedIds& result) {
  auto& ids = static_cast<DeviceSortedIds&>(result);
  const std::int64_t count = sample.ids() + common.ids();
  ids.resize(count);
  queue_.begin_side();  // the sort depends on ids alone: it runs beside the forward pass
  if (count == 0) {
    queue_.enqueue([&](cudaStream_t stream) {
      check(cudaMemsetAsync(ids.count.data(), 0, sizeof(std::uint32_t), stream), "cudaMemsetAsync");
    });
  } else {
    std::uint32_t first = 0;
    for (const Bags* side : {&sample, &common}) {
      const std::int64_t items = std::max(side->count() * kBagLanes, side->ids());
      queue_.launch<list_occurrences>(thread_per_item(items), DeviceBags(*side), first, ids.unsorted_keys.data(),
                                      ids.unsorted.data(), ids.bag.data());
      first += static_cast<std::uint32_t>(side->ids());
    }
    queue_.enqueue([&](cudaStream_t stream) {
      constexpr int kBits = 32;
      sort_pairs({ids.unsorted_keys.data(), ids.unsorted.data(), ids.keys.data(), ids.sorted.data()}, count, kBits,
                 ids.scratch, stream);
    });
    const Geometry geometry = thread_per_item(count);
    queue_.launch<mark_heads>(geometry, ids.keys.data(), count, ids.heads.data());
    queue_.enqueue(
        [&](cudaStream_t stream) { inclusive_sum(ids.heads.data(), ids.segment.data(), count, ids.scratch, stream); });
    queue_.launch<write_segments>(geometry, ids.keys.data(), ids.segment.data(), count, ids.rows.data(),
                                  ids.begin.data(), ids.count.data());
  }
  queue_.end_side();
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
