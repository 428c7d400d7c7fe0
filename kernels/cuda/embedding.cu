#include "kernels/embedding.hpp"

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/device_bags.cuh"
#include "kernels/cuda/groups.cuh"
#include "kernels/cuda/sorted_ids.hpp"
#include "kernels/cuda/update_row.cuh"

namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

// ---- pooling -------------------------------------------------------------------------------------------------------

constexpr std::int64_t kChunkIds = 64;  // of a bag that one group sums; longer bags are summed by a whole block
constexpr std::int64_t kBagsPerBlock = 128;

/// Σ weight · table[row] over ids [begin, end) of the bags, W floats at d.
template <int W>
__device__ Pack<W> sum_rows(const DeviceBags& bags, MatrixView<const float> table, std::int64_t begin, std::int64_t end,
                            std::int64_t d) {
  Pack<W> sum{};
#pragma unroll 4
  for (std::int64_t i = begin; i < end; ++i) {
    const Pack<W> row = load<W>(table.row(bags.rows[i]) + d);
    const float weight = bags.weights == nullptr ? 1.0F : bags.weights[i];
    for (int w = 0; w < W; ++w) sum.v[w] += weight * row.v[w];
  }
  return sum;
}

/// Pools one bag by all groups of the block: chunk by chunk, the chunks' sums added in order. partial [groups, D].
template <int W>
__device__ void pool_long_bag(const Group& group, const DeviceBags& bags, MatrixView<const float> table,
                              std::int64_t begin, std::int64_t end, float* partial, float* out) {
  const std::int64_t dim = table.cols;
  for (std::int64_t round = begin; round < end; round += group.count * kChunkIds) {
    const std::int64_t first = round + group.index * kChunkIds;
    const std::int64_t last = first + kChunkIds < end ? first + kChunkIds : end;
    for (std::int64_t d = group.lane * W; d < dim; d += group.lanes * W) {
      store(partial + group.index * dim + d, sum_rows<W>(bags, table, first, last, d));
    }
    __syncthreads();
    for (std::int64_t d = threadIdx.x; d < dim; d += blockDim.x) {
      float sum = round == begin ? 0.0F : out[d];
      for (unsigned g = 0; g < group.count; ++g) sum += partial[g * dim + d];
      out[d] = sum;
    }
    __syncthreads();
  }
}

template <int W>
__global__ void pool_bags(DeviceBags bags, MatrixView<const float> table, MatrixView<float> out, unsigned lanes) {
  const Group group(lanes);
  const std::int64_t dim = table.cols;
  const auto place = [&](std::int64_t bag) { return out.row(bag / bags.fields) + bag % bags.fields * dim; };
  for (std::int64_t first = blockIdx.x * kBagsPerBlock; first < bags.count; first += gridDim.x * kBagsPerBlock) {
    const std::int64_t last = first + kBagsPerBlock < bags.count ? first + kBagsPerBlock : bags.count;
    for (std::int64_t bag = first + group.index; bag < last; bag += group.count) {
      const std::int64_t begin = bags.offsets[bag], end = bags.offsets[bag + 1];
      if (end - begin > kChunkIds) continue;
      for (std::int64_t d = group.lane * W; d < dim; d += group.lanes * W) {
        store(place(bag) + d, sum_rows<W>(bags, table, begin, end, d));
      }
    }
    for (std::int64_t bag = first; bag < last; ++bag) {
      const std::int64_t begin = bags.offsets[bag], end = bags.offsets[bag + 1];
      if (end - begin > kChunkIds) {
        pool_long_bag<W>(group, bags, table, begin, end, shared_memory<float>(), place(bag));
      }
    }
  }
}

// ---- gradients of rows ---------------------------------------------------------------------------------------------

/// The pooled gradients as occurrences see them.
struct OccurrenceGradients {
  struct Side {
    Side(const Bags& bags, MatrixView<const float> dpooled_)
        : dpooled(dpooled_),
          weights(bags.weights.empty() ? nullptr : bags.weights.data()),
          fields(static_cast<std::uint32_t>(bags.fields)) {}
    MatrixView<const float> dpooled;
    const float* weights;
    std::uint32_t fields;
  };
  OccurrenceGradients(const DeviceSortedIds& ids, const Bags& sample_, const Bags& common_,
                      MatrixView<const float> dpooled_sample, MatrixView<const float> dpooled_common, std::int64_t dim_)
      : sorted(ids.sorted.data()),
        bag_of(ids.bag.data()),
        sample(sample_, dpooled_sample),
        common(common_, dpooled_common),
        first_common(static_cast<std::uint32_t>(sample_.ids())),
        dim(dim_) {
    if (ids.occurrences() != sample_.ids() + common_.ids()) {
      throw internal_error("embedding gradient: {} ids were sorted but the batch has {}", ids.occurrences(),
                           sample_.ids() + common_.ids());
    }
  }

  /// Σ weight · dpooled[bag] over sorted positions [begin, end), W floats at d.
  template <int W>
  [[nodiscard]] __device__ Pack<W> sum(std::int64_t begin, std::int64_t end, std::int64_t d) const {
    Pack<W> total{};
#pragma unroll 4
    for (std::int64_t position = begin; position < end; ++position) {
      const std::uint32_t occurrence = sorted[position];
      const Side& side = occurrence >= first_common ? common : sample;
      const std::uint32_t number = occurrence >= first_common ? occurrence - first_common : occurrence;
      const std::uint32_t bag = bag_of[occurrence];
      const std::uint32_t row = bag / side.fields;
      const Pack<W> gradient = load<W>(side.dpooled.row(row) + (bag - row * side.fields) * dim + d);
      const float weight = side.weights == nullptr ? 1.0F : side.weights[number];
      for (int w = 0; w < W; ++w) total.v[w] += weight * gradient.v[w];
    }
    return total;
  }

  const std::uint32_t* sorted;
  const std::uint32_t* bag_of;
  Side sample, common;
  std::uint32_t first_common;  // occurrence
  std::int64_t dim;
};

/// The segments of the sorted occurrences, and the sums of hot rows. A chunk of sorted positions meets at most two hot
/// rows: one that reaches into it from its first position on, and one that begins behind its first position.
struct Segments {
  Segments(const DeviceSortedIds& ids, float* hot_pieces_, float* hot_rows_)
      : segment(ids.segment.data()),
        rows(ids.rows.data()),
        begin(ids.begin.data()),
        count(ids.count.data()),
        hot_pieces(hot_pieces_),
        hot_rows(hot_rows_) {}

  [[nodiscard]] __device__ bool hot(std::int64_t s) const { return begin[s + 1] - begin[s] > kChunkOccurrences; }
  /// Sorted positions that belong to rows.
  [[nodiscard]] __device__ std::int64_t positions() const { return begin[*count]; }
  /// Where the piece of hot segment s in chunk c is summed up.
  [[nodiscard]] __device__ float* piece(std::int64_t s, std::int64_t c, std::int64_t dim) const {
    return hot_pieces + (2 * c + (begin[s] > c * kChunkOccurrences ? 1 : 0)) * dim;
  }

  const std::uint32_t* segment;
  const std::uint32_t* rows;
  const std::uint32_t* begin;
  const std::uint32_t* count;
  float* hot_pieces;  // [chunks, 2, D]
  float* hot_rows;    // [chunks, D] gradient of the hot row that begins in the chunk
};

/// Sums the piece of hot segment s that lies in chunk c.
template <int W>
__device__ void sum_piece(const Group& group, const Segments& segments, const OccurrenceGradients& gradients,
                          std::int64_t s, std::int64_t c) {
  const std::int64_t chunk_begin = c * kChunkOccurrences, chunk_end = chunk_begin + kChunkOccurrences;
  const std::int64_t begin = segments.begin[s] > chunk_begin ? segments.begin[s] : chunk_begin;
  const std::int64_t end = segments.begin[s + 1] < chunk_end ? segments.begin[s + 1] : chunk_end;
  float* out = segments.piece(s, c, gradients.dim);
  for (std::int64_t d = group.lane * W; d < gradients.dim; d += group.lanes * W) {
    store(out + d, gradients.sum<W>(begin, end, d));
  }
}

template <int W>
__global__ void sum_hot_pieces(Segments segments, OccurrenceGradients gradients, unsigned lanes) {
  const Group group(lanes);
  const std::int64_t positions = segments.positions();
  for (std::int64_t c = group.in_grid(); c * kChunkOccurrences < positions; c += group.grid_count()) {
    const std::int64_t first = c * kChunkOccurrences;
    const std::int64_t next = first + kChunkOccurrences < positions ? first + kChunkOccurrences : positions;
    const std::int64_t s = segments.segment[first] - 1, t = segments.segment[next - 1] - 1;
    if (segments.hot(s)) sum_piece<W>(group, segments, gradients, s, c);
    if (t != s && segments.hot(t)) sum_piece<W>(group, segments, gradients, t, c);
  }
}

/// One block for each chunk in which a hot row begins: every group adds up a run of the row's pieces in order, then
/// the groups' sums are added in order.
template <int W>
__global__ void sum_hot_rows(Segments segments, std::int64_t dim, unsigned lanes) {
  const Group group(lanes);
  float* partial = shared_memory<float>();  // [groups, D]
  const std::int64_t positions = segments.positions();
  for (std::int64_t c = blockIdx.x; c * kChunkOccurrences < positions; c += gridDim.x) {
    const std::int64_t first = c * kChunkOccurrences;
    const std::int64_t next = first + kChunkOccurrences < positions ? first + kChunkOccurrences : positions;
    const std::int64_t s = segments.segment[next - 1] - 1;  // only the last segment to begin in a chunk can be hot
    if (!segments.hot(s) || segments.begin[s] < first) continue;
    const std::int64_t pieces = (segments.begin[s + 1] - 1) / kChunkOccurrences - c + 1;
    const std::int64_t from = pieces * group.index / group.count, to = pieces * (group.index + 1) / group.count;
    for (std::int64_t d = group.lane * W; d < dim; d += group.lanes * W) {
      Pack<W> sum{};
#pragma unroll 4
      for (std::int64_t piece = from; piece < to; ++piece) {
        const Pack<W> value = load<W>(segments.piece(s, c + piece, dim) + d);
        for (int w = 0; w < W; ++w) sum.v[w] += value.v[w];
      }
      store(partial + group.index * dim + d, sum);
    }
    __syncthreads();
    for (std::int64_t d = threadIdx.x; d < dim; d += blockDim.x) {
      float sum = 0.0F;
      for (unsigned g = 0; g < group.count; ++g) sum += partial[g * dim + d];
      segments.hot_rows[c * dim + d] = sum;
    }
    __syncthreads();
  }
}

/// The gradient of segment s's row, W floats at d.
template <int W>
__device__ Pack<W> row_gradient(const Segments& segments, const OccurrenceGradients& gradients, std::int64_t s,
                                std::int64_t d) {
  if (segments.hot(s)) {
    return load<W>(segments.hot_rows + segments.begin[s] / kChunkOccurrences * gradients.dim + d);
  }
  return gradients.sum<W>(segments.begin[s], segments.begin[s + 1], d);
}

template <int W>
__global__ void reduce_segments(Segments segments, OccurrenceGradients gradients, float* out, unsigned lanes) {
  const Group group(lanes);
  for (std::int64_t s = group.in_grid(); s < *segments.count; s += group.grid_count()) {
    for (std::int64_t d = group.lane * W; d < gradients.dim; d += group.lanes * W) {
      store(out + s * gradients.dim + d, row_gradient<W>(segments, gradients, s, d));
    }
  }
}

template <OptimizerKind kind, int W>
__global__ void reduce_and_update_segments(Segments segments, OccurrenceGradients gradients, DeviceStep step,
                                           EmbeddingArena arena, unsigned lanes) {
  if (step.skipped()) return;
  const Group group(lanes);
  const StepConstants<float> c = step.load();
  float* gradient = shared_memory<float>() + group.index * gradients.dim;  // each lane reads what it wrote
  for (std::int64_t s = group.in_grid(); s < *segments.count; s += group.grid_count()) {
    for (std::int64_t d = group.lane * W; d < gradients.dim; d += group.lanes * W) {
      store(gradient + d, row_gradient<W>(segments, gradients, s, d));
    }
    const std::int64_t row = segments.rows[s];
    step_row<kind, W>(group, c, gradients.dim, gradient, arena.weights.row(row), arena.state.row(row));
  }
}

template <OptimizerKind kind, int W>
__global__ void update_distinct_rows(const std::uint32_t* rows, const std::uint32_t* count, const float* gradients,
                                     DeviceStep step, EmbeddingArena arena, unsigned lanes) {
  if (step.skipped()) return;
  const Group group(lanes);
  const StepConstants<float> c = step.load();
  const std::int64_t dim = arena.weights.cols;
  for (std::int64_t i = group.in_grid(); i < *count; i += group.grid_count()) {
    step_row<kind, W>(group, c, dim, gradients + i * dim, arena.weights.row(rows[i]), arena.state.row(rows[i]));
  }
}

/// Alignment does not depend on a matrix that has no rows.
std::int64_t stride_of(MatrixView<const float> view) {
  return view.empty() ? 0 : view.stride;
}
const void* data_of(MatrixView<const float> view) {
  return view.empty() ? nullptr : view.data;
}

/// Of optimizer state that is loaded in packs.
std::int64_t state_stride(OptimizerKind kind, const EmbeddingArena& arena) {
  return kind == OptimizerKind::rowwise_adagrad ? 0 : stride_of(arena.state);
}
const void* state_data(OptimizerKind kind, const EmbeddingArena& arena) {
  return kind == OptimizerKind::rowwise_adagrad ? nullptr : data_of(arena.state);
}

/// Sums up the gradients of hot rows into `sums`.
Segments sum_hot(CommandQueue& queue, const RowGeometry& geometry, const DeviceSortedIds& ids,
                 const OccurrenceGradients& gradients, Buffer<float>& sums) {
  const std::int64_t dim = gradients.dim, chunks = ids.chunks();
  sums.resize(3 * chunks * dim);
  const Segments segments(ids, sums.data(), sums.data() + 2 * chunks * dim);
  with_pack(geometry, [&]<int W>() {
    queue.launch<sum_hot_pieces<W>>(geometry.group_per_item(chunks), segments, gradients, geometry.lanes);
    queue.launch<sum_hot_rows<W>>(geometry.group_per_item(chunks * geometry.groups(), dim), segments, dim,
                                  geometry.lanes);
  });
  return segments;
}

}  // namespace

void CudaBackend::pool_embeddings(const Bags& bags, MatrixView<const float> table, MatrixView<float> out) {
  const RowGeometry geometry = row_geometry(table.cols, {table.stride, out.stride}, {table.data, out.data});
  const std::int64_t blocks = (bags.count() + kBagsPerBlock - 1) / kBagsPerBlock;
  const Geometry launch = geometry.group_per_item(blocks * geometry.groups(), table.cols);
  with_pack(geometry,
            [&]<int W>() { queue_.launch<pool_bags<W>>(launch, DeviceBags(bags), table, out, geometry.lanes); });
}

void CudaBackend::update_embeddings(const SortedIds& sorted_ids, const Bags& sample, const Bags& common,
                                    MatrixView<const float> dpooled_sample, MatrixView<const float> dpooled_common,
                                    const OptimizerStep& optimizer, EmbeddingArena arena) {
  const auto& ids = static_cast<const DeviceSortedIds&>(sorted_ids);
  const std::int64_t dim = arena.weights.cols;
  const RowGeometry geometry = row_geometry(
      dim,
      {arena.weights.stride, state_stride(optimizer.config.kind, arena), stride_of(dpooled_sample),
       stride_of(dpooled_common)},
      {arena.weights.data, state_data(optimizer.config.kind, arena), data_of(dpooled_sample), data_of(dpooled_common)});
  const OccurrenceGradients gradients(ids, sample, common, dpooled_sample, dpooled_common, dim);
  queue_.join_side();
  const Segments segments = sum_hot(queue_, geometry, ids, gradients, hot_sums_);
  const DeviceStep step(queue_, optimizer, UpdateScope::touched_rows);
  const Geometry launch = geometry.group_per_item(ids.occurrences(), dim);
  with_kind(optimizer.config.kind, [&]<OptimizerKind kind>() {
    with_pack(geometry, [&]<int W>() {
      queue_.launch<reduce_and_update_segments<kind, W>>(launch, segments, gradients, step, arena, geometry.lanes);
    });
  });
}

void CudaBackend::embedding_gradient(SortedIds& sorted_ids, const Bags& sample, const Bags& common,
                                     MatrixView<const float> dpooled_sample, MatrixView<const float> dpooled_common,
                                     std::int64_t dim) {
  auto& ids = static_cast<DeviceSortedIds&>(sorted_ids);
  ids.gradient.resize(ids.occurrences() * dim);  // as many rows as there may be
  const RowGeometry geometry = row_geometry(dim, {stride_of(dpooled_sample), stride_of(dpooled_common)},
                                            {data_of(dpooled_sample), data_of(dpooled_common)});
  const OccurrenceGradients gradients(ids, sample, common, dpooled_sample, dpooled_common, dim);
  queue_.join_side();
  const Segments segments = sum_hot(queue_, geometry, ids, gradients, hot_sums_);
  with_pack(geometry, [&]<int W>() {
    queue_.launch<reduce_segments<W>>(geometry.group_per_item(ids.occurrences()), segments, gradients,
                                      ids.gradient.data(), geometry.lanes);
  });
}

void CudaBackend::update_rows(const SortedIds& sorted_ids, const OptimizerStep& optimizer, EmbeddingArena arena) {
  const auto& ids = static_cast<const DeviceSortedIds&>(sorted_ids);
  const OptimizerKind kind_of_step = optimizer.config.kind;
  const RowGeometry geometry =
      row_geometry(arena.weights.cols, {arena.weights.stride, state_stride(kind_of_step, arena)},
                   {arena.weights.data, state_data(kind_of_step, arena), ids.gradient.data()});
  const DeviceStep step(queue_, optimizer, UpdateScope::touched_rows);
  with_kind(kind_of_step, [&]<OptimizerKind kind>() {
    with_pack(geometry, [&]<int W>() {
      queue_.launch<update_distinct_rows<kind, W>>(geometry.group_per_item(ids.occurrences()), ids.rows.data(),
                                                   ids.count.data(), ids.gradient.data(), step, arena, geometry.lanes);
    });
  });
}

SparseGradient CudaBackend::row_gradients(const SortedIds& sorted_ids) {
  const auto& ids = static_cast<const DeviceSortedIds&>(sorted_ids);
  std::uint32_t rows = 0;
  ids.count.copy_to_host({&rows, 1});
  return {ids.rows.span().first(rows), {ids.gradient.data(), rows, ids.gradient_dim}};
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
