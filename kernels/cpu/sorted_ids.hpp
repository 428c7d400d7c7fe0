#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/buffer.hpp"
#include "kernels/embedding.hpp"

namespace esmm::cpu {

/// Sorted positions per unit of parallel work. A row that occurs more often than this is "hot": it is summed in pieces
/// of this many occurrences, so that no thread has to sum it alone.
inline constexpr std::int64_t kChunkOccurrences = 2048;

/// The segment of a row is its occurrences in sorted order: positions [begin[s], begin[s + 1]) for the s-th distinct
/// row. Occurrence i is the i-th id of the sample side, or the (i - sample ids)-th of the common side.
class CpuSortedIds final : public SortedIds {
 public:
  explicit CpuSortedIds(Memory& memory)
      : bag(memory, 0),
        words{Buffer<std::uint64_t>(memory, 0), Buffer<std::uint64_t>(memory, 0)},
        rows(memory, 0),
        begin(memory, 0),
        chunk_segments(memory, 0),
        chunk_max(memory, 0),
        digit_counts(memory, 0),
        gradient(memory, 0) {}

  struct Piece {
    std::int64_t segment;
    std::uint32_t bounds[2];  // sorted positions [bounds[0], bounds[1])
  };

  [[nodiscard]] std::int64_t occurrences() const { return static_cast<std::int64_t>(sorted.size()); }
  [[nodiscard]] SparseGradient row_gradients() const {
    return {rows.span().first(static_cast<std::size_t>(segments)), {gradient.data(), segments, gradient_dim}};
  }
  [[nodiscard]] std::int64_t chunks() const { return (occurrences() + kChunkOccurrences - 1) / kChunkOccurrences; }

  Buffer<std::uint32_t> bag;              // [N] bag of each occurrence, counted within its side
  Buffer<std::uint64_t> words[2];         // [N] row << 32 | occurrence, before and after a pass of the sort
  std::span<const std::uint64_t> sorted;  // [N] the one of `words` that is sorted
  std::int64_t segments = 0;              // R
  Buffer<std::uint32_t> rows;             // [R] distinct rows, ascending
  Buffer<std::uint32_t> begin;            // [R + 1]
  Buffer<std::uint32_t> chunk_segments;   // [chunks + 1] first segment that begins in each chunk of sorted positions
  std::vector<Piece> hot_pieces;          // of the segments of hot rows, ascending

  Buffer<std::uint32_t> chunk_max;  // working space of sort_ids
  Buffer<std::uint32_t> digit_counts;
  Buffer<float> gradient;  // [R, D] result of embedding_gradient
};

}  // namespace esmm::cpu
