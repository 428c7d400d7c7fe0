#include "kernels/embedding.hpp"

#include <algorithm>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/dims.hpp"
#include "kernels/cpu/sorted_ids.hpp"
#include "kernels/cpu/update_rows.hpp"
#include "kernels/error.hpp"

namespace esmm::cpu {

namespace {

constexpr std::int64_t kPoolAhead = 24;    // ids between asking for a table row and adding it
constexpr std::int64_t kReduceAhead = 16;  // occurrences between asking for a pooled gradient and adding it
constexpr std::int64_t kBlockRows = 512;   // rows whose gradients are kept in cache between reduction and update

/// out = Σ_{i in [begin, end)} term(i).weight · term(i).row, in that order.
template <class Dim, class Term>
ESMM_INLINE void weighted_sum(Dim dim, std::int64_t begin, std::int64_t end, const Term& term, float* __restrict out) {
  constexpr bool kInRegisters = !std::is_same_v<Dim, std::int64_t>;
  if constexpr (kInRegisters) {
    float sum[Dim::value] = {};
    for (std::int64_t i = begin; i < end; ++i) {
      const auto [row, weight] = term(i);
      for (std::int64_t d = 0; d < dim; ++d) sum[d] += weight * row[d];
    }
    for (std::int64_t d = 0; d < dim; ++d) out[d] = sum[d];
  } else {
    for (std::int64_t d = 0; d < dim; ++d) out[d] = 0.0F;
    for (std::int64_t i = begin; i < end; ++i) {
      const auto [row, weight] = term(i);
      for (std::int64_t d = 0; d < dim; ++d) out[d] += weight * row[d];
    }
  }
}

struct WeightedRow {
  const float* row;
  float weight;
};

/// Pools the bags of rows [first, last).
ESMM_VECTORIZED void pool_rows(const Bags& bags, MatrixView<const float> table, MatrixView<float> out,
                               std::int64_t first, std::int64_t last) {
  const std::uint32_t* offsets = bags.offsets.data();
  const std::uint32_t* rows = bags.rows.data();
  const float* weights = bags.weights.empty() ? nullptr : bags.weights.data();
  const std::int64_t ids = bags.ids();
  with_dim(
      table.cols, [&](auto dim) __attribute__((always_inline)) {
        const auto term = [&](std::int64_t i) __attribute__((always_inline)) {
          if (i + kPoolAhead < ids) prefetch_floats(table.row(rows[i + kPoolAhead]), dim);
          return WeightedRow{table.row(rows[i]), weights == nullptr ? 1.0F : weights[i]};
        };
        for (std::int64_t r = first; r < last; ++r) {
          const std::uint32_t* bag = offsets + r * bags.fields;
          for (std::int64_t f = 0; f < bags.fields; ++f) {
            weighted_sum(dim, bag[f], bag[f + 1], term, out.row(r) + f * dim);
          }
        }
      });
}

/// Where the gradient of each id occurrence comes from: dpooled of its bag, times its weight.
class OccurrenceGradients {
 public:
  OccurrenceGradients(const CpuSortedIds& sorted, const Bags& sample, const Bags& common,
                      MatrixView<const float> dpooled_sample, MatrixView<const float> dpooled_common, std::int64_t dim_)
      : dim(dim_),
        words_(sorted.sorted.data()),
        bag_(sorted.bag.data()),
        sides_{{sample, dpooled_sample, 0}, {common, dpooled_common, sample.ids()}} {
    if (sorted.occurrences() != sample.ids() + common.ids()) {
      throw internal_error("embedding gradient: {} ids were sorted but the batch has {}", sorted.occurrences(),
                           sample.ids() + common.ids());
    }
  }

  /// The gradient that reaches the occurrence at a sorted position.
  ESMM_INLINE WeightedRow at(std::int64_t position) const {
    const auto occurrence = static_cast<std::uint32_t>(words_[position]);
    const Side& side = sides_[occurrence >= sides_[1].first ? 1 : 0];
    const std::uint32_t bag = bag_[occurrence];
    const std::uint32_t r = bag / side.fields;
    const std::uint32_t f = bag - r * side.fields;
    return {side.dpooled.row(r) + f * dim, side.weights == nullptr ? 1.0F : side.weights[occurrence - side.first]};
  }

  std::int64_t dim;

 private:
  struct Side {
    Side(const Bags& bags, MatrixView<const float> dpooled_, std::int64_t first_)
        : dpooled(dpooled_),
          weights(bags.weights.empty() ? nullptr : bags.weights.data()),
          fields(static_cast<std::uint32_t>(bags.fields)),
          first(static_cast<std::uint32_t>(first_)) {}
    MatrixView<const float> dpooled;
    const float* weights;
    std::uint32_t fields;
    std::uint32_t first;  // occurrence
  };
  const std::uint64_t* words_;
  const std::uint32_t* bag_;
  Side sides_[2];
};

/// out.row(s) = Σ of the occurrences at sorted positions [bounds[s], bounds[s + 1]), for `count` adjacent segments.
ESMM_VECTORIZED void sum_segments(const OccurrenceGradients& gradients, const std::uint32_t* bounds, std::int64_t count,
                                  MatrixView<float> out) {
  const std::int64_t end = bounds[count];
  with_dim(
      gradients.dim, [&](auto dim) __attribute__((always_inline)) {
        WeightedRow ahead[kReduceAhead];  // a ring: those that have been asked for
        const auto ask = [&](std::int64_t position) __attribute__((always_inline)) {
          WeightedRow& slot = ahead[position % kReduceAhead];
          slot = gradients.at(position);
          prefetch_floats(slot.row, dim);
        };
        const auto term = [&](std::int64_t position) __attribute__((always_inline)) {
          const WeightedRow now = ahead[position % kReduceAhead];
          if (position + kReduceAhead < end) ask(position + kReduceAhead);
          return now;
        };
        for (std::int64_t p = bounds[0]; p < std::min(end, bounds[0] + kReduceAhead); ++p) ask(p);
        for (std::int64_t s = 0; s < count; ++s) weighted_sum(dim, bounds[s], bounds[s + 1], term, out.row(s));
      });
}

/// The gradients of all distinct rows, block by block: consume(first segment, gradients of the block). `place(thread,
/// first segment)` says where a block's gradients are written.
template <class Place, class Consume>
void for_each_gradient_block(ThreadPool& pool, const CpuSortedIds& sorted, const OccurrenceGradients& gradients,
                             Buffer<float>& partial_sums, const Place& place, const Consume& consume) {
  const std::int64_t dim = gradients.dim;
  const auto pieces = static_cast<std::int64_t>(sorted.hot_pieces.size());
  partial_sums.resize(pieces * dim);
  const MatrixView<float> partials{partial_sums.data(), pieces, dim};
  pool.for_each_chunk(pieces, [&](std::int64_t piece, int) {
    sum_segments(gradients, sorted.hot_pieces[static_cast<std::size_t>(piece)].bounds, 1,
                 {partials.row(piece), 1, dim});
  });
  const auto add_hot_pieces = [&](std::int64_t segment, float* out) {
    std::fill(out, out + dim, 0.0F);
    const auto first = std::lower_bound(sorted.hot_pieces.begin(), sorted.hot_pieces.end(), segment,
                                        [](const CpuSortedIds::Piece& p, std::int64_t s) { return p.segment < s; });
    for (auto piece = first; piece != sorted.hot_pieces.end() && piece->segment == segment; ++piece) {
      const float* partial = partials.row(piece - sorted.hot_pieces.begin());
      for (std::int64_t d = 0; d < dim; ++d) out[d] += partial[d];
    }
  };

  const std::uint32_t* begin = sorted.begin.data();
  const std::uint32_t* chunk_segments = sorted.chunk_segments.data();
  pool.for_each_chunk(sorted.chunks(), [&](std::int64_t chunk, int thread) {
    const std::int64_t last = chunk_segments[chunk + 1];
    for (std::int64_t first = chunk_segments[chunk]; first < last; first += kBlockRows) {
      const std::int64_t count = std::min(kBlockRows, last - first);
      const std::int64_t final = first + count - 1;
      const bool hot = begin[final + 1] - begin[final] > kChunkOccurrences;  // at most the last of a chunk
      const MatrixView<float> block{place(thread, first), count, dim};
      sum_segments(gradients, begin + first, hot ? count - 1 : count, block);
      if (hot) add_hot_pieces(final, block.row(count - 1));
      consume(first, block);
    }
  });
}

std::span<const std::uint32_t> distinct_rows(const CpuSortedIds& sorted, std::int64_t first, std::int64_t count) {
  return {sorted.rows.data() + first, static_cast<std::size_t>(count)};
}

void check_rows(std::span<const std::uint32_t> ascending, const EmbeddingArena& arena) {
  if (!ascending.empty() && ascending.back() >= arena.weights.rows) {
    throw internal_error("embedding update: row {} of an arena of {} rows", ascending.back(), arena.weights.rows);
  }
}

}  // namespace

void CpuBackend::pool_embeddings(const Bags& bags, MatrixView<const float> table, MatrixView<float> out) {
  const std::int64_t rows = bags.count() / bags.fields;
  const std::int64_t rows_per_chunk =
      std::max<std::int64_t>(1, rows * kChunkOccurrences / std::max(bags.count(), bags.ids()));
  pool_.for_each_chunk((rows + rows_per_chunk - 1) / rows_per_chunk, [&](std::int64_t chunk, int) {
    const std::int64_t first = chunk * rows_per_chunk;
    pool_rows(bags, table, out, first, std::min(first + rows_per_chunk, rows));
  });
}

void CpuBackend::update_embeddings(const SortedIds& sorted_ids, const Bags& sample, const Bags& common,
                                   MatrixView<const float> dpooled_sample, MatrixView<const float> dpooled_common,
                                   const OptimizerStep& optimizer, EmbeddingArena arena) {
  const auto& sorted = static_cast<const CpuSortedIds&>(sorted_ids);
  if (is_skipped(optimizer.skip)) return;
  const std::int64_t dim = arena.weights.cols;
  const OccurrenceGradients gradients(sorted, sample, common, dpooled_sample, dpooled_common, dim);
  check_rows(distinct_rows(sorted, 0, sorted.segments), arena);
  const auto constants =
      with_gradient_scale(step_constants<float>(optimizer, UpdateScope::touched_rows), optimizer.gradient_scale);
  row_gradients_.resize(pool_.threads() * kBlockRows * dim);
  for_each_gradient_block(
      pool_, sorted, gradients, partial_sums_,
      [&](int thread, std::int64_t) { return row_gradients_.data() + thread * kBlockRows * dim; },
      [&](std::int64_t first, MatrixView<const float> block) {
        step_rows(optimizer.config.kind, constants, distinct_rows(sorted, first, block.rows), block, arena);
      });
}

void CpuBackend::embedding_gradient(SortedIds& sorted_ids, const Bags& sample, const Bags& common,
                                    MatrixView<const float> dpooled_sample, MatrixView<const float> dpooled_common,
                                    std::int64_t dim) {
  auto& sorted = static_cast<CpuSortedIds&>(sorted_ids);
  const OccurrenceGradients gradients(sorted, sample, common, dpooled_sample, dpooled_common, dim);
  sorted.gradient.resize(sorted.segments * dim);
  for_each_gradient_block(
      pool_, sorted, gradients, partial_sums_,
      [&](int, std::int64_t first) { return sorted.gradient.data() + first * dim; },
      [](std::int64_t, MatrixView<const float>) {});
}

SparseGradient CpuBackend::row_gradients(const SortedIds& sorted) {
  return static_cast<const CpuSortedIds&>(sorted).row_gradients();
}

void CpuBackend::update_rows(const SortedIds& sorted, const OptimizerStep& optimizer, EmbeddingArena arena) {
  if (is_skipped(optimizer.skip)) return;
  const SparseGradient gradient = static_cast<const CpuSortedIds&>(sorted).row_gradients();
  check_rows(gradient.rows, arena);
  const auto constants =
      with_gradient_scale(step_constants<float>(optimizer, UpdateScope::touched_rows), optimizer.gradient_scale);
  const auto rows = static_cast<std::int64_t>(gradient.rows.size());
  constexpr std::int64_t kChunkRows = 512;
  pool_.for_each_chunk((rows + kChunkRows - 1) / kChunkRows, [&](std::int64_t chunk, int) {
    const std::int64_t first = chunk * kChunkRows;
    const std::int64_t count = std::min(kChunkRows, rows - first);
    step_rows(optimizer.config.kind, constants,
              gradient.rows.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)),
              {gradient.values.row(first), count, gradient.values.cols, gradient.values.stride}, arena);
  });
}

}  // namespace esmm::cpu
