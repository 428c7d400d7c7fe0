#include "kernels/cuda/tower_sums.hpp"

#include "kernels/cuda/tower_units.cuh"

namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

// ---- column sums ----

/// Destinations of a range of columns of the tiles' partial sums.
struct Segment {
  std::int64_t begin, size;  // columns
  float* out;
  std::int64_t step;  // elements from one value to the next
};
constexpr int kMostSegments = 48;
struct TileSegments {
  Segment segment[kMostSegments];
  int count;
};

constexpr unsigned kSumSlices = 16;  // thread (slice s, column c) adds tiles s, s + 16, …

/// One block per 32 columns.
__global__ void sum_tiles_kernel(MatrixView<const float> partial, TileSegments segments) {
  auto* sums = shared_memory<float>();  // [kSumSlices, 32]
  const unsigned lane = threadIdx.x % kWarp, slice = threadIdx.x / kWarp;
  const std::int64_t column = std::int64_t{blockIdx.x} * kWarp + lane;
  float sum = 0.0F;
  if (column < partial.cols) {
    for (std::int64_t tile = slice; tile < partial.rows; tile += kSumSlices) sum += partial(tile, column);
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (slice > 0) return;
  for (unsigned s = 1; s < kSumSlices; ++s) sum += sums[s * kWarp + lane];
  for (int i = 0; i < segments.count; ++i) {
    const Segment& s = segments.segment[i];
    if (column >= s.begin && column < s.begin + s.size) s.out[(column - s.begin) * s.step] = sum;
  }
}

// ---- impressions of common rows ----

__global__ void find_users_kernel(const std::uint32_t* common_begin, std::int64_t common_rows, std::int64_t impressions,
                                  std::uint32_t* user) {
  for (std::int64_t r = grid_thread(); r < impressions; r += grid_threads()) {
    user[r] = user_of(common_begin, common_rows, r);
  }
}

__global__ void join_users_kernel(UserSums users) {
  const std::int64_t width = users.sum.cols;
  for (std::int64_t i = grid_thread(); i < users.sum.rows * width; i += grid_threads()) {
    const std::int64_t u = i / width, column = i % width;
    const std::int64_t begin = users.common_begin[u], end = users.common_begin[u + 1];
    float* sum = users.sum.row(u) + column;
    if (begin == end) {
      *sum = 0.0F;
      continue;
    }
    const std::int64_t last = (end - 1) / kTileRows;
    float total = *sum;
    for (std::int64_t tile = begin / kTileRows + 1; tile <= last; ++tile) total += users.head[tile * width + column];
    *sum = total;
  }
}

// ---- copies ----

template <class T>
struct PackedMatrices {
  typename Packing<T>::Matrix matrix[Packing<T>::kMost];
  int count;
  std::int64_t items;
};

template <class T>
__global__ void pack_kernel(PackedMatrices<T> matrices) {
  for (std::int64_t item = grid_thread(); item < matrices.items; item += grid_threads()) {
    int i = matrices.count - 1;
    while (item < matrices.matrix[i].first_item) --i;
    const auto& m = matrices.matrix[i];
    const std::int64_t groups = m.to.stride / kGroupUnits;
    const std::int64_t row = (item - m.first_item) / groups;
    const std::int64_t column = (item - m.first_item) % groups * kGroupUnits;
    Units units;
    for (int k = 0; k < kGroupUnits; ++k) {
      const bool inside = row < m.rows && column + k < m.columns;
      units.v[k] = inside ? m.from[row * m.row_step + (column + k) * m.column_step] : 0.0F;
    }
    store_units(m.to.row(row) + column, units, kGroupUnits, true);
  }
}

}  // namespace

namespace {
std::int64_t head_size(const TowerPass& pass) {
  return pass.has_common() ? pass.tiles() * kTowers * pass.width(0) : 0;
}
}  // namespace

void reserve_partial_sums(const TowerPass& pass) {
  pass.workspace.partial.resize(head_size(pass) + pass.tiles() * VectorColumns(pass).count());
}
MatrixView<float> vector_sums(const TowerPass& pass) {
  return {pass.workspace.partial.data() + head_size(pass), pass.tiles(), VectorColumns(pass).count()};
}

void sum_tiles(CommandQueue& queue, const TowerPass& pass, const TowerViews<float>& gradients) {
  const VectorColumns columns(pass);
  TileSegments segments{};
  const auto flush = [&] {
    const std::int64_t blocks = segments.count == 0 ? 0 : pieces(columns.count(), kWarp);
    queue.launch<sum_tiles_kernel>({blocks, kSumSlices * kWarp, kSumSlices * kWarp * sizeof(float)},
                                   MatrixView<const float>(vector_sums(pass)), segments);
    segments.count = 0;
  };
  const auto add = [&](std::int64_t begin, std::int64_t size, float* out, std::int64_t step) {
    if (segments.count == kMostSegments) flush();
    segments.segment[segments.count++] = {begin, size, out, step};
  };
  const std::size_t outputs = pass.hidden_layers();
  for (std::size_t tower = 0; tower < kTowers; ++tower) {
    const auto t = static_cast<std::int64_t>(tower);
    for (std::size_t l = 0; l < outputs; ++l) {
      const std::int64_t width = pass.width(l);
      add(columns.bias(l) + t * width, width, pass.bias(gradients, l, tower), 1);
      if (pass.is_prelu()) add(columns.slope(l) + t * width, width, pass.slope(gradients, l, tower), 1);
    }
    const auto weight = pass.weight(gradients, outputs, tower);
    add(columns.output_weight() + t * weight.rows, weight.rows, weight.data, weight.stride);
    add(columns.output_bias() + t, 1, pass.bias(gradients, outputs, tower), 1);
  }
  flush();
}

UserSums user_sums(const TowerPass& pass) {
  if (!pass.has_common()) return {};
  return {pass.workspace.user.data(), pass.inputs.common_begin.data(), pass.first_common(),
          pass.workspace.partial.data()};
}

void find_users(CommandQueue& queue, const TowerPass& pass) {
  if (!pass.has_common()) return;
  pass.workspace.user.resize(pass.impressions());
  queue.launch<find_users_kernel>(thread_per_item(pass.impressions()), pass.inputs.common_begin.data(),
                                  pass.common_rows(), pass.impressions(), pass.workspace.user.data());
}

void join_users(CommandQueue& queue, const TowerPass& pass) {
  if (!pass.has_common()) return;
  const UserSums users = user_sums(pass);
  queue.launch<join_users_kernel>(thread_per_item(users.sum.rows * users.sum.cols), users);
}

template <class T>
void Packing<T>::add(MatrixView<const float> from, MatrixView<T> to, bool transposed) {
  if (to.rows == 0 || to.stride == 0) return;
  matrices_.push_back({from.data, transposed ? 1 : from.stride, transposed ? from.stride : 1,
                       transposed ? from.cols : from.rows, transposed ? from.rows : from.cols, to, 0});
}

template <class T>
void Packing<T>::enqueue(CommandQueue& queue) {
  for (std::size_t begin = 0; begin < matrices_.size(); begin += kMost) {
    PackedMatrices<T> packed{};
    for (std::size_t i = begin; i < std::min(matrices_.size(), begin + kMost); ++i) {
      Matrix& matrix = packed.matrix[packed.count++] = matrices_[i];
      matrix.first_item = packed.items;
      packed.items += matrix.to.rows * (matrix.to.stride / kGroupUnits);
    }
    queue.launch<pack_kernel<T>>(thread_per_item(packed.items), packed);
  }
}
template class Packing<float>;
template class Packing<__nv_bfloat16>;

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
