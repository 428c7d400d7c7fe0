#include "kernels/cuda/tower_fused_kernels.hpp"
#include "kernels/cuda/tower_tile.cuh"

namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

constexpr int kSlices = static_cast<int>(kTileThreads / kWarp);  // a warp takes one slice of a tile's rows
constexpr int kSliceRows = static_cast<int>(kTileRows) / kSlices;
constexpr int kStripRowsAhead = 4;  // loaded before the first of them is worked on
constexpr int kSections = 3;        // of column sums: bias, slope, output weight

/// What a block has in shared memory, in this order; dz of layer l > 0 is in buffer l mod 2.
template <class T>
struct BackwardMemory {
  __device__ explicit BackwardMemory(const TileBuffers& buffers_) : buffers(buffers_) {
    ring = behind_tile_buffers<T>(buffers);
    result = reinterpret_cast<float*>(ring);
  }
  [[nodiscard]] __device__ T* dz(int layer) const { return tile_buffer<T>(buffers, layer % 2); }
  [[nodiscard]] __device__ int stride(int layer) const {
    return layer % 2 == 0 ? buffers.stride[0] : buffers.stride[1];
  }
  /// Column sums of each slice, where `result` was.
  [[nodiscard]] __device__ float* sums(int section, int slice) const {
    return result + (section * kSlices + slice) * kStrip;
  }

  const TileBuffers& buffers;  // [64, stride] of dz
  T* ring;                     // operands, then
  float* result;               // [64, kResultStride]
};

/// The strip of one layer's units that a block works on.
template <class T>
struct BackwardStrip {
  const FusedBackward<T>& p;
  const FusedBackwardLayer<T>& layer;
  int l, tower;
  std::int64_t tile, first_unit;
  int columns;
  [[nodiscard]] __device__ bool is_last() const { return l + 1 == p.layers; }
  [[nodiscard]] __device__ bool is_prelu() const { return layer.z.data != nullptr; }
  [[nodiscard]] __device__ bool adds_users() const { return l == 0 && p.users.user != nullptr; }
  [[nodiscard]] __device__ bool vectorised() const { return layer.width % kGroupUnits == 0; }
};

struct SliceSums {
  Units section[kSections] = {};
  float output_bias = 0.0F;
};

/// z (PReLU) or a (ReLU), and a of the last hidden layer.
struct StripInput {
  Units input, a;
};

template <class T>
__device__ inline StripInput load_row(const BackwardStrip<T>& strip, std::int64_t row, std::int64_t unit) {
  const FusedBackwardLayer<T>& layer = strip.layer;
  const std::int64_t count = layer.width - unit, column = strip.tower * layer.width + unit;
  StripInput in{};
  if (row >= layer.dz.rows || count <= 0) return in;
  if (strip.is_prelu()) in.input = load_units(layer.z.row(row) + column, count, strip.vectorised());
  if (strip.is_last() || !strip.is_prelu()) in.a = load_units(layer.a.row(row) + column, count, strip.vectorised());
  if (!strip.is_prelu()) in.input = in.a;
  return in;
}

/// dz of four units of one impression, to global memory.
template <class T>
__device__ inline Units backward_group(const BackwardStrip<T>& strip, std::int64_t row, std::int64_t unit,
                                       const StripInput& in, Units d, const Units& slope, const Units& output_weight,
                                       SliceSums& sums) {
  const FusedBackwardLayer<T>& layer = strip.layer;
  if (strip.is_last()) {
    const float dlogit = strip.p.dlogits(row, strip.tower);
    d = scaled(output_weight, dlogit);
    add_products(sums.section[2], in.a, dlogit);
    sums.output_bias += dlogit;
  }
  Units dz;
  if (strip.is_prelu()) {
    Units factors{{1.0F, 1.0F, 1.0F, 1.0F}};
    if (layer.dropout.key != nullptr) {
      factors = dropout_factors(layer.dropout, row, strip.tower, unit / kGroupUnits);
    }
    dz = prelu_gradient(d, in.input, factors, slope, sums.section[1]);
  } else {
    dz = relu_gradient(d, in.input, layer.dropout.scale);
  }
  add(sums.section[0], dz);
  store_units(layer.dz.row(row) + strip.tower * layer.width + unit, dz, layer.width - unit, strip.vectorised());
  return dz;
}

/// dz of a strip over the rows of this warp's slice, a thread per group of units; its sums over them.
template <class T>
__device__ SliceSums backward_slice(const BackwardStrip<T>& strip, const BackwardMemory<T>& memory) {
  const FusedBackwardLayer<T>& layer = strip.layer;
  SliceSums sums;
  const int column = static_cast<int>(threadIdx.x % kWarp) * kGroupUnits;
  const std::int64_t unit = strip.first_unit + column, count = layer.width - unit;
  if (column >= strip.columns) return sums;
  Units slope{}, output_weight{};
  if (strip.is_prelu()) slope = load_units(layer.vectors.slope[strip.tower] + unit, count, false);
  for (int i = 0; i < kGroupUnits; ++i) {
    if (!strip.is_last() || i >= count) continue;
    output_weight.v[i] = strip.p.output.weight[strip.tower][(unit + i) * strip.p.output.weight_step];
  }
  const int first = static_cast<int>(threadIdx.x / kWarp) * kSliceRows;
  for (int begin = first; begin < first + kSliceRows; begin += kStripRowsAhead) {
    StripInput ahead[kStripRowsAhead];
    for (int i = 0; i < kStripRowsAhead; ++i) ahead[i] = load_row(strip, strip.tile * kTileRows + begin + i, unit);
    for (int i = 0; i < kStripRowsAhead; ++i) {
      const std::int64_t row = strip.tile * kTileRows + begin + i;
      float* result = memory.result + (begin + i) * kResultStride + column;
      Units dz{};
      if (row < layer.dz.rows && count > 0) {
        const Units d = strip.is_last() ? Units{} : load_units(result, kGroupUnits, true);
        dz = backward_group(strip, row, unit, ahead[i], d, slope, output_weight, sums);
      }
      if (strip.adds_users()) store_units(result, dz, kGroupUnits, true);
      if (strip.l == 0) continue;
      store_units(memory.dz(strip.l) + (begin + i) * memory.stride(strip.l) + unit, dz, kGroupUnits, true);
    }
  }
  return sums;
}

/// The tile's sums of the first layer's dz, which lies in `result`, over the impressions of each common row; a thread
/// per unit.
template <class T>
__device__ void add_users(const BackwardStrip<T>& strip, const BackwardMemory<T>& memory) {
  const UserSums& users = strip.p.users;
  const int column = static_cast<int>(threadIdx.x);
  const std::int64_t unit = strip.first_unit + column, first_row = strip.tile * kTileRows;
  if (column >= strip.columns || unit >= strip.layer.width) return;
  const std::int64_t rows = strip.layer.dz.rows - first_row < kTileRows ? strip.layer.dz.rows - first_row : kTileRows;
  for (int r = 0; r < rows;) {
    const std::uint32_t user = users.user[first_row + r];
    float sum = 0.0F;
    for (; r < rows && users.user[first_row + r] == user; ++r) sum += memory.result[r * kResultStride + column];
    if (user >= users.sum.rows) continue;  // padding
    const bool begins_here = users.common_begin[user] >= first_row;
    float* out = begins_here ? users.sum.row(user) : users.head + strip.tile * users.sum.cols;
    out[strip.tower * strip.layer.width + unit] = sum;
  }
}

/// Adds the slices' sums of a section in order, a thread per unit.
template <class T>
__device__ void add_section(const BackwardStrip<T>& strip, const BackwardMemory<T>& memory, int section,
                            std::int64_t first_column) {
  const int column = static_cast<int>(threadIdx.x);
  const std::int64_t unit = strip.first_unit + column;
  if (column >= strip.columns || unit >= strip.layer.width) return;
  float sum = 0.0F;
  for (int s = 0; s < kSlices; ++s) sum += memory.sums(section, s)[column];
  strip.p.sums(strip.tile, first_column + strip.tower * strip.layer.width + unit) = sum;
}

/// The tile's column sums. Barriers on both sides: they are exchanged where the strip's result was.
template <class T>
__device__ void add_slices(const BackwardStrip<T>& strip, const BackwardMemory<T>& memory, const SliceSums& sums) {
  const int slice = static_cast<int>(threadIdx.x / kWarp), lane = static_cast<int>(threadIdx.x % kWarp);
  float* output_bias = memory.sums(kSections, 0);  // [kSlices]
  __syncthreads();
  for (int section = 0; section < kSections; ++section) {
    store_units(memory.sums(section, slice) + lane * kGroupUnits, sums.section[section], kGroupUnits, true);
  }
  if (lane == 0) output_bias[slice] = sums.output_bias;
  __syncthreads();
  add_section(strip, memory, 0, strip.layer.bias_column);
  if (strip.is_prelu()) add_section(strip, memory, 1, strip.layer.slope_column);
  if (strip.is_last()) add_section(strip, memory, 2, strip.p.output_weight_column);
  if (threadIdx.x == 0 && strip.is_last() && strip.first_unit == 0) {
    float sum = 0.0F;
    for (int s = 0; s < kSlices; ++s) sum += output_bias[s];
    strip.p.sums(strip.tile, strip.p.output_bias_column + strip.tower) = sum;
  }
  __syncthreads();
}

template <class T>
__global__ void __launch_bounds__(kTileThreads, 2) fused_backward_kernel(FusedBackward<T> p) {
  const BackwardMemory<T> memory(p.buffers);
  const int tower = static_cast<int>(blockIdx.x % kTowers);
  for (int l = p.layers - 1; l >= 0; --l) {
    const std::int64_t padded = (p.layer[l].width + kStripMultiple - 1) / kStripMultiple * kStripMultiple;
    for (std::int64_t first = 0; first < padded; first += kStrip) {
      const int columns = static_cast<int>(padded - first < kStrip ? padded - first : kStrip);
      if (l + 1 < p.layers) {
        const PackedWeight<T>& weight = p.layer[l + 1].back[tower];
        with_columns(columns, [&]<int G>() {
          multiply_strip<T, G>(memory.dz(l + 1), memory.stride(l + 1), static_cast<int>(weight.depth),
                               weight.data + first, weight.columns, memory.ring);
        });
      }
      const BackwardStrip<T> strip{p, p.layer[l], l, tower, blockIdx.x / kTowers, first, columns};
      const SliceSums sums = backward_slice(strip, memory);
      if (strip.adds_users()) {
        __syncthreads();
        add_users(strip, memory);
      }
      add_slices(strip, memory, sums);
    }
  }
}

/// Layer l > 0 has its dz in buffer l mod 2.
template <class T>
TileBuffers backward_buffers(const TowerShape& shape) {
  TileBuffers buffers{};
  for (std::size_t l = 1; l < shape.hidden.size(); ++l) {
    int& stride = buffers.stride[l % 2];
    stride = std::max(stride, static_cast<int>(padded_columns(shape.hidden[l])) + Tile<T>::kSkew);
  }
  return buffers;
}

}  // namespace

template <class T>
std::size_t backward_shared_bytes(const TowerShape& shape) {
  const TileBuffers buffers = backward_buffers<T>(shape);
  return static_cast<std::size_t>(kTileRows * (buffers.stride[0] + buffers.stride[1])) * sizeof(T) + kRingBytes<T>;
}
template std::size_t backward_shared_bytes<float>(const TowerShape&);
template std::size_t backward_shared_bytes<__nv_bfloat16>(const TowerShape&);

template <class T>
void fused_backward(CommandQueue& queue, const TowerPass& pass, const PackedOperands<T>& operands,
                    MatrixView<const float> dlogits) {
  const DropoutKey* key = nullptr;
  if (pass.has_dropout()) key = queue.constant(DropoutKey{pass.dropout.seed, pass.dropout.step});
  const VectorColumns columns(pass);
  FusedBackward<T> p{};
  p.dlogits = dlogits;
  p.output = output_layer(pass);
  for (std::size_t l = 0; l < pass.hidden_layers(); ++l) {
    p.layer[l] = {{},
                  pass.width(l),
                  layer_vectors(pass, l),
                  unit_dropout(pass, key, l),
                  pass.z<T>(l),
                  pass.a<T>(l),
                  pass.dz<T>(l),
                  columns.bias(l),
                  columns.slope(l)};
    for (std::size_t t = 0; t < kTowers && l > 0; ++t) p.layer[l].back[t] = operands.back_from[t][l - 1];
  }
  p.layers = static_cast<int>(pass.hidden_layers());
  p.users = user_sums(pass);
  p.sums = vector_sums(pass);
  p.output_weight_column = columns.output_weight();
  p.output_bias_column = columns.output_bias();
  p.buffers = backward_buffers<T>(pass.shape);
  queue.launch<fused_backward_kernel<T>>({pass.tiles() * kTowers, kTileThreads, backward_shared_bytes<T>(pass.shape)},
                                         p);
}
template void fused_backward(CommandQueue&, const TowerPass&, const PackedOperands<float>&, MatrixView<const float>);
template void fused_backward(CommandQueue&, const TowerPass&, const PackedOperands<__nv_bfloat16>&,
                             MatrixView<const float>);

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
