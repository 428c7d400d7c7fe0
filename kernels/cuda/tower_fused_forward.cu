#include "kernels/cuda/tower_fused_kernels.hpp"
#include "kernels/cuda/tower_tile.cuh"

namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

constexpr int kRowThreads = static_cast<int>(kTileThreads) / static_cast<int>(kTileRows);  // of a logit

/// What a block has in shared memory, in this order; layer l's inputs are in buffer l mod 2.
template <class T>
struct ForwardMemory {
  __device__ explicit ForwardMemory(const TileBuffers& buffers_) : buffers(buffers_) {
    ring = behind_tile_buffers<T>(buffers);
    result = reinterpret_cast<float*>(ring);
    user = reinterpret_cast<std::uint32_t*>(reinterpret_cast<unsigned char*>(ring) + kRingBytes<T>);
  }
  [[nodiscard]] __device__ T* activations(int layer) const { return tile_buffer<T>(buffers, layer % 2); }
  [[nodiscard]] __device__ int stride(int layer) const {
    return layer % 2 == 0 ? buffers.stride[0] : buffers.stride[1];
  }

  const TileBuffers& buffers;  // [64, stride] of activations
  T* ring;                     // operands, then
  float* result;               // [64, kResultStride]
  std::uint32_t* user;         // [64]
};

/// Which tile of impressions and which tower a block works on.
struct TileOfTower {
  __device__ TileOfTower()
      : tile(blockIdx.x / kTowers), tower(static_cast<int>(blockIdx.x % kTowers)), first_row(tile * kTileRows) {}
  std::int64_t tile;
  int tower;
  std::int64_t first_row;
};

/// The tile's sample inputs; the first tower's block keeps a converted copy, too.
template <class T>
__device__ void load_sample(const FusedForward<T>& p, const TileOfTower& at, const ForwardMemory<T>& memory) {
  const int depth = static_cast<int>(p.layer[0].weight[0].depth), groups = depth / kGroupUnits;
  const int rows = static_cast<int>(kTileRows);
  T* to = memory.activations(0);
  copy_block(p.sample.fp32, at.first_row, 0, rows, depth, p.sample.aligned, to, memory.stride(0));
  if (p.sample_copy.data == nullptr || at.tower != 0) return;
  // Each thread stores what it has just loaded itself: no barrier in between.
  for (int i = static_cast<int>(threadIdx.x); i < rows * groups; i += static_cast<int>(kTileThreads)) {
    const int r = i / groups, c = i % groups * kGroupUnits;
    if (at.first_row + r >= p.sample_copy.rows) continue;
    const auto pack = *reinterpret_cast<const UnitPack<T>*>(to + r * memory.stride(0) + c);
    *reinterpret_cast<UnitPack<T>*>(p.sample_copy.row(at.first_row + r) + c) = pack;
  }
}

template <class T>
__device__ void find_tile_users(const FusedForward<T>& p, const TileOfTower& at, const ForwardMemory<T>& memory) {
  const std::int64_t row = at.first_row + threadIdx.x;
  if (p.common.data == nullptr || threadIdx.x >= kTileRows || row >= p.logits.rows) return;
  const std::uint32_t user = user_of(p.common_begin, p.common.rows, row);
  memory.user[threadIdx.x] = user;
  if (at.tower == 0) p.user[row] = user;
}

/// z and a of four units of one impression, to global memory; returns a.
template <class T>
__device__ inline Units forward_group(const FusedForwardLayer<T>& layer, const TileOfTower& at, std::int64_t row,
                                      std::int64_t unit, Units z, const float* common) {
  const bool vectorised = layer.width % kGroupUnits == 0, is_prelu = layer.z.data != nullptr;
  const std::int64_t count = layer.width - unit, column = at.tower * layer.width + unit;
  add(z, load_units(layer.vectors.bias[at.tower] + unit, count, false));
  if (common != nullptr) add(z, load_units(common + column, count, vectorised));
  Units slope{};
  if (is_prelu) {
    store_units(layer.z.row(row) + column, z, count, vectorised);
    slope = load_units(layer.vectors.slope[at.tower] + unit, count, false);
  }
  Units a = activate(z, slope, is_prelu);
  if (layer.dropout.key != nullptr) {
    const Units factors = dropout_factors(layer.dropout, row, at.tower, unit / kGroupUnits);
    for (int i = 0; i < kGroupUnits; ++i) a.v[i] *= factors.v[i];
  }
  store_units(layer.a.row(row) + column, a, count, vectorised);
  return a;
}

/// Turns the product of a strip of units into their activations: the next layer's inputs, 0 in padding.
template <class T>
__device__ void forward_strip(const FusedForward<T>& p, int l, const TileOfTower& at, std::int64_t first_unit,
                              int columns, const ForwardMemory<T>& memory) {
  const FusedForwardLayer<T>& layer = p.layer[l];
  const int groups = columns / kGroupUnits;
  for (int i = static_cast<int>(threadIdx.x); i < static_cast<int>(kTileRows) * groups;
       i += static_cast<int>(kTileThreads)) {
    const int tile_row = i / groups, column = i % groups * kGroupUnits;
    const std::int64_t row = at.first_row + tile_row, unit = first_unit + column;
    Units a{};
    if (row < p.logits.rows && unit < layer.width) {
      const bool adds_common = l == 0 && p.common.data != nullptr && memory.user[tile_row] < p.common.rows;
      a = forward_group(layer, at, row, unit,
                        load_units(memory.result + tile_row * kResultStride + column, kGroupUnits, true),
                        adds_common ? p.common.row(memory.user[tile_row]) : nullptr);
      for (int k = 0; k < kGroupUnits; ++k) a.v[k] = unit + k < layer.width ? a.v[k] : 0.0F;
    }
    store_units(memory.activations(l + 1) + tile_row * memory.stride(l + 1) + unit, a, kGroupUnits, true);
  }
}

/// Four threads per impression.
template <class T>
__device__ void forward_logit(const FusedForward<T>& p, const TileOfTower& at, const ForwardMemory<T>& memory) {
  const int tile_row = static_cast<int>(threadIdx.x) / kRowThreads, part = static_cast<int>(threadIdx.x) % kRowThreads;
  const T* a = memory.activations(p.layers) + tile_row * memory.stride(p.layers);
  float sum = 0.0F;
  for (std::int64_t j = part; j < p.layer[p.layers - 1].width; j += kRowThreads) {
    sum += to_float(a[j]) * p.output.weight[at.tower][j * p.output.weight_step];
  }
  for (int half = kRowThreads / 2; half > 0; half /= 2) sum += __shfl_xor_sync(kAllLanes, sum, half);
  const std::int64_t row = at.first_row + tile_row;
  if (part == 0 && row < p.logits.rows) p.logits(row, at.tower) = sum + p.output.bias[at.tower][0];
}

/// Blocks of a multiprocessor that the registers must allow: as many as the shared memory does.
template <class T>
inline constexpr unsigned kForwardBlocks = std::is_same_v<T, float> ? 1 : 2;

template <class T>
__global__ void __launch_bounds__(kTileThreads, kForwardBlocks<T>) fused_forward_kernel(FusedForward<T> p) {
  const TileOfTower at;
  const ForwardMemory<T> memory(p.buffers);
  load_sample(p, at, memory);
  find_tile_users(p, at, memory);
  for (int l = 0; l < p.layers; ++l) {
    const PackedWeight<T>& weight = p.layer[l].weight[at.tower];
    for (std::int64_t first = 0; first < weight.columns; first += kStrip) {
      const int columns = static_cast<int>(weight.columns - first < kStrip ? weight.columns - first : kStrip);
      with_columns(columns, [&]<int G>() {
        multiply_strip<T, G>(memory.activations(l), memory.stride(l), static_cast<int>(weight.depth),
                             weight.data + first, weight.columns, memory.ring);
      });
      forward_strip(p, l, at, first, columns, memory);
    }
  }
  __syncthreads();
  forward_logit(p, at, memory);
}

/// Layer l reads buffer l mod 2, as wide as the widest of its layers' inputs; the logits are layer hidden.size().
template <class T>
TileBuffers forward_buffers(const TowerShape& shape) {
  std::int64_t widest[2] = {padded_depth<T>(shape.sample_inputs), 0};
  for (std::size_t l = 0; l < shape.hidden.size(); ++l) {
    std::int64_t& next = widest[(l + 1) % 2];
    next = std::max(next, padded_columns(shape.hidden[l]));
  }
  return {{static_cast<int>(widest[0]) + Tile<T>::kSkew, static_cast<int>(widest[1]) + Tile<T>::kSkew}};
}

}  // namespace

template <class T>
std::size_t forward_shared_bytes(const TowerShape& shape) {
  const TileBuffers buffers = forward_buffers<T>(shape);
  return static_cast<std::size_t>(kTileRows * (buffers.stride[0] + buffers.stride[1])) * sizeof(T) + kRingBytes<T> +
         kTileRows * sizeof(std::uint32_t);
}
template std::size_t forward_shared_bytes<float>(const TowerShape&);
template std::size_t forward_shared_bytes<__nv_bfloat16>(const TowerShape&);

template <class T>
void fused_forward(CommandQueue& queue, const TowerPass& pass, const PackedOperands<T>& operands,
                   MatrixView<float> logits) {
  const DropoutKey* key = nullptr;
  if (pass.has_dropout()) key = queue.constant(DropoutKey{pass.dropout.seed, pass.dropout.step});
  FusedForward<T> p{};
  p.sample = either<T>(pass.inputs.sample);
  p.sample_copy = operands.sample;
  if (pass.has_common()) {
    p.common = pass.first_common();
    p.common_begin = pass.inputs.common_begin.data();
    p.user = pass.workspace.user.data();
  }
  for (std::size_t l = 0; l < pass.hidden_layers(); ++l) {
    p.layer[l] = {{operands.into[0][l], operands.into[1][l]},
                  pass.width(l),
                  layer_vectors(pass, l),
                  unit_dropout(pass, key, l),
                  pass.z<T>(l),
                  pass.a<T>(l)};
  }
  p.layers = static_cast<int>(pass.hidden_layers());
  p.output = output_layer(pass);
  p.logits = logits;
  p.buffers = forward_buffers<T>(pass.shape);
  queue.launch<fused_forward_kernel<T>>({pass.tiles() * kTowers, kTileThreads, forward_shared_bytes<T>(pass.shape)}, p);
}
template void fused_forward(CommandQueue&, const TowerPass&, const PackedOperands<float>&, MatrixView<float>);
template void fused_forward(CommandQueue&, const TowerPass&, const PackedOperands<__nv_bfloat16>&, MatrixView<float>);

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
