#pragma once
#include <vector>

#include "kernels/cuda/tower_sums.hpp"
#include "kernels/cuda/tower_units.cuh"

// The fused kernels of the towers and what they are given. T is the type of the products: float or __nv_bfloat16.
namespace esmm::ESMM_DEVICE_NAMESPACE {

inline constexpr int kMostFusedLayers = 8;  // hidden ones: kernels take their description by value

/// A weight as the tiles want it: rows padded to whole steps, columns to whole strips, with zeros.
template <class T>
struct PackedWeight {
  const T* data = nullptr;
  std::int64_t depth = 0;    // rows
  std::int64_t columns = 0;  // and distance of rows
};

/// Weights and inputs of a pass as the tiles want them, all in workspace.converted: forward packs them, backward finds
/// them again.
template <class T>
class PackedOperands {
 public:
  explicit PackedOperands(const TowerPass& pass);
  void pack_weights(CommandQueue& queue) const;

  MatrixView<T> sample;  // [B, Is] for bf16, which the forward kernel converts; without data for fp32
  PackedWeight<T> common, common_transposed;                    // [Ic, 2*H1] and back
  PackedWeight<T> sample_transposed;                            // [2*H1, Is]
  std::array<std::vector<PackedWeight<T>>, kTowers> into;       // each hidden layer, the first from the sample inputs
  std::array<std::vector<PackedWeight<T>>, kTowers> back_from;  // each hidden layer but the first

 private:
  struct Source {
    MatrixView<const float> from;
    bool transposed;
    PackedWeight<T> to;
  };
  void lay_out(const TowerPass& pass);
  PackedWeight<T> place(MatrixView<const float> from, bool transposed = false);
  std::vector<Source> sources_;
  std::int64_t used_ = 0;
  T* base_ = nullptr;
};

/// A matrix of fp32 or of T.
template <class T>
struct EitherMatrix {
  MatrixView<const float> fp32;  // without data: it is `own`
  MatrixView<const T> own;
  bool aligned = false;  // rows begin at multiples of 16 bytes

  [[nodiscard]] constexpr std::int64_t rows() const { return fp32.data != nullptr ? fp32.rows : own.rows; }
};
template <class T, class From>
[[nodiscard]] EitherMatrix<T> either(MatrixView<From> from) {
  const bool aligned = reinterpret_cast<std::uintptr_t>(from.data) % 16 == 0 &&
                       static_cast<std::uintptr_t>(from.stride) * sizeof(From) % 16 == 0;
  if constexpr (std::is_same_v<std::remove_const_t<From>, float>) {
    return {from, {}, aligned};
  } else {
    return {{}, from, aligned};
  }
}

/// Elements from one row to the next of the two buffers of a tile's activations in shared memory.
struct TileBuffers {
  int stride[2];
};
/// Buffer `index` of the two, which lie one behind the other.
template <class T>
__device__ inline T* tile_buffer(const TileBuffers& buffers, int index) {
  return shared_memory<T>() + (index == 0 ? 0 : kTileRows * buffers.stride[0]);
}
template <class T>
__device__ inline T* behind_tile_buffers(const TileBuffers& buffers) {
  return shared_memory<T>() + kTileRows * (buffers.stride[0] + buffers.stride[1]);
}

// ---- forward: one block per tile and tower ----
template <class T>
struct FusedForwardLayer {
  PackedWeight<T> weight[kTowers];
  std::int64_t width;
  LayerVectors vectors;
  UnitDropout dropout;
  MatrixView<T> z, a;  // z without data for ReLU
};
template <class T>
struct FusedForward {
  EitherMatrix<T> sample;             // [B, Is] of fp32
  MatrixView<T> sample_copy;          // [B, Is] written for backward; without data: none
  MatrixView<const float> common;     // [U, 2*H1] the common half of the first layer; without data: none
  const std::uint32_t* common_begin;  // [U + 1]
  std::uint32_t* user;                // [B] written for backward
  FusedForwardLayer<T> layer[kMostFusedLayers];
  int layers;
  OutputLayer output;
  MatrixView<float> logits;
  TileBuffers buffers;
};
template <class T>
[[nodiscard]] std::size_t forward_shared_bytes(const TowerShape& shape);
template <class T>
void fused_forward(CommandQueue& queue, const TowerPass& pass, const PackedOperands<T>& operands,
                   MatrixView<float> logits);

// ---- backward: one block per tile and tower: dz of all layers and the tile's sums over impressions ----
template <class T>
struct FusedBackwardLayer {
  PackedWeight<T> back[kTowers];  // from this layer to the one before; the first has none
  std::int64_t width;
  LayerVectors vectors;
  UnitDropout dropout;
  MatrixView<const T> z, a;  // z without data for ReLU
  MatrixView<T> dz;
  std::int64_t bias_column, slope_column;  // of `sums`
};
template <class T>
struct FusedBackward {
  MatrixView<const float> dlogits;  // [B, 2]
  OutputLayer output;
  FusedBackwardLayer<T> layer[kMostFusedLayers];
  int layers;
  UserSums users;
  MatrixView<float> sums;  // [tiles, columns]
  std::int64_t output_weight_column, output_bias_column;
  TileBuffers buffers;
};
template <class T>
[[nodiscard]] std::size_t backward_shared_bytes(const TowerShape& shape);
template <class T>
void fused_backward(CommandQueue& queue, const TowerPass& pass, const PackedOperands<T>& operands,
                    MatrixView<const float> dlogits);

// ---- rows times a packed weight: one block per 64 rows and strip of columns ----

template <class T>
struct RowsTimesWeight {
  EitherMatrix<T> rows;  // [M, K]
  PackedWeight<T> weight;
  MatrixView<float> out;  // [M, N]
  std::int64_t first_block = 0;
};
template <class T>
void multiply_rows(CommandQueue& queue, std::vector<RowsTimesWeight<T>> products);

// ---- weight gradients: split into fixed slices of impressions, which a second kernel adds in order ----
template <class T>
struct WeightGradient {
  EitherMatrix<T> input, dz;  // [B, K], [B, N]
  MatrixView<float> out;      // [K, N]
  std::int64_t first_block = 0;
  std::int64_t slice_rows = 0, slices = 0;
  float* sums = nullptr;        // [slices, K, N]
  std::int64_t first_item = 0;  // among the elements of all gradients
};
template <class T>
void weight_gradients(CommandQueue& queue, std::vector<WeightGradient<T>> gradients, Buffer<float>& slices);

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
