#pragma once
#include "kernels/cuda/tower_sums.hpp"
#include "kernels/cuda/tower_units.cuh"

// The kernels of units between the chain's products: included by tower_chain.cu alone.
namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

/// Every thread's item is four units of one tower: where they are.
struct UnitGroup {
  __device__ UnitGroup(std::int64_t item, std::int64_t width) {
    const std::int64_t groups = (width + kGroupUnits - 1) / kGroupUnits;
    const auto index = static_cast<std::uint32_t>(item), both = static_cast<std::uint32_t>(kTowers * groups);
    row = index / both;
    tower = static_cast<int>(index % both / groups);
    group = index % both % groups;
    first = group * kGroupUnits;
    column = tower * width + first;
    count = width - first < kGroupUnits ? width - first : kGroupUnits;
  }
  std::int64_t row;  // impression, or tile of them
  int tower;
  std::int64_t group;   // among the tower's
  std::int64_t first;   // unit of the tower
  std::int64_t column;  // of the layer
  std::int64_t count;   // units that there are, at most 4
};
std::int64_t unit_groups(std::int64_t rows, std::int64_t width) {
  const std::int64_t items = rows * kTowers * pieces(width, kGroupUnits);
  if (items > std::int64_t{0xFFFFFFFF}) throw internal_error("towers: {} rows of {} units are too many", rows, width);
  return items;
}

// ---- forward ----

template <class T>
struct ForwardLayer {
  std::int64_t width;               // units of one tower
  MatrixView<const float> product;  // [B, 2*H] without bias
  MatrixView<const float> common;   // [U, 2*H] the common half of the first layer; without data: none
  const std::uint32_t* user;        // [B] row of `common`; U for padding
  LayerVectors vectors;
  UnitDropout dropout;
  MatrixView<T> z, a;  // [B, 2*H]; z without data for ReLU
  bool vectorised;
};

/// z = product + bias + common half, a = dropout(activation(z)). product may be z, or a for ReLU.
template <class T>
__global__ void forward_units(ForwardLayer<T> layer, std::int64_t items) {
  for (std::int64_t item = grid_thread(); item < items; item += grid_threads()) {
    const UnitGroup at(item, layer.width);
    Units z = load_units(layer.product.row(at.row) + at.column, at.count, layer.vectorised);
    add(z, load_units(layer.vectors.bias[at.tower] + at.first, at.count, false));
    if (layer.common.data != nullptr && layer.user[at.row] < layer.common.rows) {
      add(z, load_units(layer.common.row(layer.user[at.row]) + at.column, at.count, layer.vectorised));
    }
    Units slope{};
    if (layer.z.data != nullptr) {
      store_units(layer.z.row(at.row) + at.column, z, at.count, layer.vectorised);
      slope = load_units(layer.vectors.slope[at.tower] + at.first, at.count, false);
    }
    Units a = activate(z, slope, layer.z.data != nullptr);
    if (layer.dropout.key != nullptr) {
      const Units factors = dropout_factors(layer.dropout, at.row, at.tower, at.group);
      for (int i = 0; i < kGroupUnits; ++i) a.v[i] *= factors.v[i];
    }
    store_units(layer.a.row(at.row) + at.column, a, at.count, layer.vectorised);
  }
}

/// One warp per impression.
template <class T>
__global__ void forward_logits(MatrixView<const T> a, OutputLayer output, MatrixView<float> logits) {
  const std::int64_t lane = threadIdx.x % kWarp, width = a.cols / kTowers;
  for (std::int64_t row = grid_thread() / kWarp; row < logits.rows; row += grid_threads() / kWarp) {
    for (int t = 0; t < kTowers; ++t) {
      float sum = 0.0F;
      for (std::int64_t j = lane; j < width; j += kWarp) {
        sum += to_float(a(row, t * width + j)) * output.weight[t][j * output.weight_step];
      }
      for (int half = kWarp / 2; half > 0; half /= 2) sum += __shfl_xor_sync(kAllLanes, sum, half);
      if (lane == 0) logits(row, t) = sum + output.bias[t][0];
    }
  }
}

// ---- backward ----

template <class T>
struct BackwardLayer {
  std::int64_t width;               // units of one tower
  MatrixView<const float> d;        // [B, 2*H] ∂L/∂a; of the last hidden layer it is dlogits·weight
  MatrixView<const float> dlogits;  // [B, 2] of the last hidden layer
  OutputLayer output;               // of the last hidden layer
  LayerVectors vectors;
  UnitDropout dropout;
  MatrixView<const T> z, a;  // [B, 2*H]; z without data for ReLU
  MatrixView<T> dz;          // [B, 2*H]; may be d
  MatrixView<float> sums;    // [tiles, columns]
  std::int64_t bias_column, slope_column, output_weight_column, output_bias_column;  // of `sums`
  UserSums users;                                                                    // of the first layer
  bool vectorised;
};

/// A thread's sums over the rows of its tile.
struct UnitSums {
  Units bias{}, slope{}, output_weight{}, user{};
  float output_bias = 0.0F;
  std::int64_t current_user = -1;
};

/// The sum over the current user's impressions of this tile is complete.
__device__ inline void flush_user(const UserSums& users, const UnitGroup& at, const UnitSums& sums, bool vectorised) {
  const std::int64_t u = sums.current_user;
  if (u < 0 || u >= users.sum.rows) return;  // none yet, or padding
  const bool begins_here = users.common_begin[u] >= at.row * kTileRows;
  float* out = begins_here ? users.sum.row(u) : users.head + at.row * users.sum.cols;
  store_units(out + at.column, sums.user, at.count, vectorised);
}

/// What is loaded of one row: z (PReLU) or a (ReLU); then ∂L/∂a or, in the last hidden layer, a.
struct RowInput {
  Units input, other;
};
template <class T, bool is_last>
__device__ inline RowInput load_row(const BackwardLayer<T>& layer, const UnitGroup& at, std::int64_t row) {
  const MatrixView<const T>& input = layer.z.data != nullptr ? layer.z : layer.a;
  RowInput in;
  in.input = load_units(input.row(row) + at.column, at.count, layer.vectorised);
  if constexpr (is_last) {
    in.other = load_units(layer.a.row(row) + at.column, at.count, layer.vectorised);
  } else {
    in.other = load_units(layer.d.row(row) + at.column, at.count, layer.vectorised);
  }
  return in;
}

template <class T, bool is_last>
__device__ inline void backward_row(const BackwardLayer<T>& layer, const UnitGroup& at, std::int64_t row,
                                    const RowInput& in, const Units& slope, const Units& output_weight,
                                    UnitSums& sums) {
  Units d = in.other, dz;
  if constexpr (is_last) {
    const float dlogit = layer.dlogits(row, at.tower);
    d = scaled(output_weight, dlogit);
    add_products(sums.output_weight, in.other, dlogit);
    sums.output_bias += dlogit;
  }
  if (layer.z.data != nullptr) {
    Units factors{{1.0F, 1.0F, 1.0F, 1.0F}};
    if (layer.dropout.key != nullptr) factors = dropout_factors(layer.dropout, row, at.tower, at.group);
    dz = prelu_gradient(d, in.input, factors, slope, sums.slope);
  } else {
    dz = relu_gradient(d, in.input, layer.dropout.scale);
  }
  add(sums.bias, dz);
  store_units(layer.dz.row(row) + at.column, dz, at.count, layer.vectorised);
  if (layer.users.user == nullptr) return;
  if (const std::int64_t u = layer.users.user[row]; u != sums.current_user) {
    flush_user(layer.users, at, sums, layer.vectorised);
    sums.current_user = u;
    sums.user = {};
  }
  add(sums.user, dz);
}

constexpr std::int64_t kRowsAhead = 4;  // loaded before the first of them is worked on

/// dz of one layer, and the sums over each tile; one thread per tile and group of units, so that every sum is made by
/// one thread in order of the impressions.
template <class T, bool is_last>
__global__ void backward_units(BackwardLayer<T> layer, std::int64_t items) {
  for (std::int64_t item = grid_thread(); item < items; item += grid_threads()) {
    const UnitGroup at(item, layer.width);
    const std::int64_t begin = at.row * kTileRows;
    const std::int64_t end = begin + kTileRows < layer.dz.rows ? begin + kTileRows : layer.dz.rows;
    const bool is_prelu = layer.z.data != nullptr;
    Units slope{}, output_weight{};
    if (is_prelu) slope = load_units(layer.vectors.slope[at.tower] + at.first, at.count, false);
    for (int i = 0; is_last && i < at.count; ++i) {
      output_weight.v[i] = layer.output.weight[at.tower][(at.first + i) * layer.output.weight_step];
    }
    UnitSums sums;
    for (std::int64_t row = begin; row < end; row += kRowsAhead) {
      RowInput ahead[kRowsAhead];
      for (int i = 0; i < kRowsAhead; ++i) {
        if (row + i < end) ahead[i] = load_row<T, is_last>(layer, at, row + i);
      }
      for (int i = 0; i < kRowsAhead; ++i) {
        if (row + i < end) backward_row<T, is_last>(layer, at, row + i, ahead[i], slope, output_weight, sums);
      }
    }
    if (layer.users.user != nullptr) flush_user(layer.users, at, sums, layer.vectorised);
    float* out = layer.sums.row(at.row);
    store_units(out + layer.bias_column + at.column, sums.bias, at.count, false);
    if (is_prelu) store_units(out + layer.slope_column + at.column, sums.slope, at.count, false);
    if (!is_last) continue;
    store_units(out + layer.output_weight_column + at.column, sums.output_weight, at.count, false);
    if (at.group == 0) out[layer.output_bias_column + at.tower] = sums.output_bias;
  }
}

constexpr unsigned kBackwardBlock = 128;  // threads: small, so that a small batch occupies many multiprocessors

}  // namespace

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
