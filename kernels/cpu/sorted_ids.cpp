#include "kernels/cpu/sorted_ids.hpp"

#include <algorithm>
#include <bit>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/radix_sort.hpp"

namespace esmm::cpu {

namespace {

std::uint32_t row_of(std::uint64_t word) {
  return static_cast<std::uint32_t>(word >> 32U);
}

/// One side of the batch cut into chunks of whole bags.
struct SideChunks {
  SideChunks(const Bags& bags_, std::int64_t first_occurrence_) : bags(&bags_), first_occurrence(first_occurrence_) {
    bags_per_chunk =
        std::max<std::int64_t>(1, bags_.count() * kChunkOccurrences / std::max<std::int64_t>(1, bags_.ids()));
    chunks = (bags_.count() + bags_per_chunk - 1) / bags_per_chunk;
  }
  const Bags* bags;
  std::int64_t first_occurrence;
  std::int64_t bags_per_chunk;
  std::int64_t chunks;
};

/// Writes word and bag of every occurrence of a chunk; returns its greatest row.
std::uint32_t number_occurrences(const SideChunks& side, std::int64_t chunk, CpuSortedIds& sorted) {
  const Bags& bags = *side.bags;
  std::uint32_t greatest = 0;
  const std::int64_t first = chunk * side.bags_per_chunk;
  const std::int64_t last = std::min(first + side.bags_per_chunk, bags.count());
  for (std::int64_t bag = first; bag < last; ++bag) {
    const std::uint32_t end = bags.offsets[static_cast<std::size_t>(bag) + 1];
    for (std::uint32_t i = bags.offsets[static_cast<std::size_t>(bag)]; i < end; ++i) {
      const std::uint32_t row = bags.rows[i];
      const std::int64_t occurrence = side.first_occurrence + i;
      sorted.words[0].data()[occurrence] = (std::uint64_t{row} << 32U) | static_cast<std::uint64_t>(occurrence);
      sorted.bag.data()[occurrence] = static_cast<std::uint32_t>(bag);
      greatest = std::max(greatest, row);
    }
  }
  return greatest;
}

bool begins_segment(std::span<const std::uint64_t> sorted, std::size_t position) {
  return position == 0 || row_of(sorted[position]) != row_of(sorted[position - 1]);
}

/// Writes row and begin of the segments that begin in sorted positions [position, end), from `segment` on.
void write_segments(CpuSortedIds& sorted, std::size_t position, std::size_t end, std::int64_t segment) {
  while (position < end && !begins_segment(sorted.sorted, position)) ++position;  // belongs to an earlier chunk
  --segment;
  std::uint32_t begin = 0;
  for (; position < end; ++position) {  // without a branch: whether an id repeats cannot be predicted
    const bool begins = begins_segment(sorted.sorted, position);
    segment += begins ? 1 : 0;
    begin = begins ? static_cast<std::uint32_t>(position) : begin;
    sorted.rows.data()[segment] = row_of(sorted.sorted[position]);
    sorted.begin.data()[segment] = begin;
  }
}

/// Cuts the segments that are longer than a chunk into pieces. Only the last to begin in a chunk can be.
void find_hot_rows(CpuSortedIds& sorted) {
  sorted.hot_pieces.clear();
  for (std::int64_t chunk = 0; chunk < sorted.chunks(); ++chunk) {
    const std::int64_t last = std::int64_t{sorted.chunk_segments.data()[chunk + 1]} - 1;
    if (last < sorted.chunk_segments.data()[chunk]) continue;
    const std::int64_t begin = sorted.begin.data()[last];
    const std::int64_t end = sorted.begin.data()[last + 1];
    if (end - begin <= kChunkOccurrences) continue;
    for (std::int64_t piece = begin; piece < end; piece += kChunkOccurrences) {
      const std::int64_t piece_end = std::min(piece + kChunkOccurrences, end);
      sorted.hot_pieces.push_back({last, {static_cast<std::uint32_t>(piece), static_cast<std::uint32_t>(piece_end)}});
    }
  }
}

void find_segments(ThreadPool& pool, CpuSortedIds& sorted) {
  const auto size = static_cast<std::size_t>(sorted.occurrences());
  const std::int64_t chunks = sorted.chunks();
  sorted.chunk_segments.resize(chunks + 1);
  std::uint32_t* chunk_segments = sorted.chunk_segments.data();
  const auto for_each_chunk = [&](const auto& body) {
    pool.for_each_chunk(chunks, [&](std::int64_t chunk, int) {
      const auto begin = static_cast<std::size_t>(chunk * kChunkOccurrences);
      body(chunk, begin, std::min(begin + static_cast<std::size_t>(kChunkOccurrences), size));
    });
  };

  for_each_chunk([&](std::int64_t chunk, std::size_t begin, std::size_t end) {
    std::uint32_t count = 0;
    for (std::size_t position = begin; position < end; ++position) {
      count += begins_segment(sorted.sorted, position) ? 1U : 0U;
    }
    chunk_segments[chunk] = count;
  });
  std::uint32_t segments = 0;
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) segments += std::exchange(chunk_segments[chunk], segments);
  chunk_segments[chunks] = segments;

  sorted.segments = segments;
  sorted.begin.data()[segments] = static_cast<std::uint32_t>(size);
  for_each_chunk([&](std::int64_t chunk, std::size_t begin, std::size_t end) {
    write_segments(sorted, begin, end, chunk_segments[chunk]);
  });
  find_hot_rows(sorted);
}

}  // namespace

std::unique_ptr<SortedIds> CpuBackend::make_sorted_ids() {
  return std::make_unique<CpuSortedIds>(memory_);
}

void CpuBackend::sort_ids(const Bags& sample, const Bags& common, SortedIds& result) {
  auto& sorted = static_cast<CpuSortedIds&>(result);
  const std::int64_t size = sample.ids() + common.ids();
  const SideChunks sides[2] = {{sample, 0}, {common, sample.ids()}};
  for (Buffer<std::uint64_t>& words : sorted.words) words.resize(size);
  for (Buffer<std::uint32_t>* buffer : {&sorted.bag, &sorted.rows}) buffer->resize(size);
  sorted.begin.resize(size + 1);
  sorted.chunk_max.resize(sides[0].chunks + sides[1].chunks);

  pool_.for_each_chunk(sorted.chunk_max.size(), [&](std::int64_t chunk, int) {
    const bool is_common = chunk >= sides[0].chunks;
    sorted.chunk_max.data()[chunk] =
        number_occurrences(sides[is_common ? 1 : 0], is_common ? chunk - sides[0].chunks : chunk, sorted);
  });
  std::uint32_t greatest = 0;
  for (const std::uint32_t row : sorted.chunk_max.span()) greatest = std::max(greatest, row);
  sorted.sorted = radix_sort(pool_, sorted.words[0].span(), sorted.words[1].span(), 32, 32 + std::bit_width(greatest),
                             sorted.digit_counts);
  find_segments(pool_, sorted);
}

}  // namespace esmm::cpu
