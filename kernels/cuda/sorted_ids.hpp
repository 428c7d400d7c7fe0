#pragma once
#include <cstdint>

#include "kernels/buffer.hpp"
#include "kernels/cuda/device.cuh"
#include "kernels/embedding.hpp"

namespace esmm::ESMM_DEVICE_NAMESPACE {

/// Sorted positions that one group of lanes sums. A row that occurs more often is "hot": it is summed in pieces, one
/// for each chunk of this many sorted positions that it reaches into.
inline constexpr std::int64_t kChunkOccurrences = 256;
inline constexpr std::uint32_t kNoRow = 0xFFFFFFFFU;  // of padding; sorts behind all rows

/// The segment of a row is its occurrences in sorted order: positions [begin[s], begin[s + 1]) for the s-th distinct
/// row. Occurrence i is the i-th id of the sample side, or the (i - sample ids)-th of the common side. How many
/// segments there are is known on the device only.
class DeviceSortedIds final : public SortedIds {
 public:
  explicit DeviceSortedIds(Memory& memory);
  void resize(std::int64_t occurrences);

  [[nodiscard]] std::int64_t occurrences() const { return keys.size(); }  // N, padding included
  [[nodiscard]] std::int64_t chunks() const { return (occurrences() + kChunkOccurrences - 1) / kChunkOccurrences; }

  Buffer<std::uint32_t> bag;                      // [N] bag of each occurrence, counted within its side
  Buffer<std::uint32_t> unsorted_keys, unsorted;  // [N] row and number of each occurrence
  Buffer<std::uint32_t> keys, sorted;             // [N] the same, sorted by row
  Buffer<std::uint32_t> heads;                    // [N] 1 where a segment begins
  Buffer<std::uint32_t> segment;                  // [N] segments that begin up to here: the position's segment, plus 1
  Buffer<std::uint32_t> rows;                     // [R] distinct rows, ascending
  Buffer<std::uint32_t> begin;                    // [R + 1]
  Buffer<std::uint32_t> count;                    // [1] R
  Buffer<float> gradient;                         // [N, D] of which R are the result of embedding_gradient
  Buffer<unsigned char> scratch;                  // of the sort
};

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
