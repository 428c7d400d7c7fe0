#pragma once
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/tower_pass.hpp"
#include "kernels/random.hpp"

// Hidden units on the device: loading and storing four at a time, activation, dropout and their gradients. One formula
// for the chain and for the fused kernels.
namespace esmm::ESMM_DEVICE_NAMESPACE {

/// Four neighbouring units of one tower: as many as one draw of random words decides about.
inline constexpr int kGroupUnits = 4;
struct Units {
  float v[kGroupUnits];
};

__device__ inline float to_float(float value) {
  return value;
}
__device__ inline float to_float(__nv_bfloat16 value) {
  return __bfloat162float(value);
}
__device__ inline void assign(float& to, float value) {
  to = value;
}
__device__ inline void assign(__nv_bfloat16& to, float value) {
  to = __float2bfloat16_rn(value);
}

template <class T>
struct alignas(kGroupUnits * sizeof(T)) UnitPack {
  T v[kGroupUnits];
};

/// The first `count` of four units, the others 0. `vectorised`: all four are wanted, and aligned as a UnitPack.
template <class T>
__device__ inline Units load_units(const T* from, std::int64_t count, bool vectorised) {
  Units units;
  if (vectorised) {
    const auto pack = *reinterpret_cast<const UnitPack<T>*>(from);
    for (int i = 0; i < kGroupUnits; ++i) units.v[i] = to_float(pack.v[i]);
  } else {
    for (int i = 0; i < kGroupUnits; ++i) units.v[i] = i < count ? to_float(from[i]) : 0.0F;
  }
  return units;
}
template <class T>
__device__ inline void store_units(T* to, const Units& units, std::int64_t count, bool vectorised) {
  if (vectorised) {
    UnitPack<T> pack;
    for (int i = 0; i < kGroupUnits; ++i) assign(pack.v[i], units.v[i]);
    *reinterpret_cast<UnitPack<T>*>(to) = pack;
  } else {
    for (int i = 0; i < kGroupUnits; ++i) {
      if (i < count) assign(to[i], units.v[i]);
    }
  }
}

/// The key of dropout's random numbers, which differs from step to step: kernels read it from device memory.
struct DropoutKey {
  std::uint64_t seed, step;
};

/// The dropout of one layer: unit u of row r is dropped where word u mod 4 of philox(seed, {u/4, r, layer·2 + tower,
/// step}) is below rate·2^32, as on the CPU.
struct UnitDropout {
  const DropoutKey* key;  // null: dropout is off
  std::uint32_t threshold;
  float scale;  // of the units that stay
  std::uint32_t layer;
};
inline UnitDropout unit_dropout(const TowerPass& pass, const DropoutKey* key, std::size_t layer) {
  const float rate = key == nullptr ? 0.0F : pass.shape.dropout;
  return {key, static_cast<std::uint32_t>(static_cast<double>(rate) * 0x1p32), 1.0F / (1.0F - rate),
          static_cast<std::uint32_t>(layer)};
}

/// What the group's four units are multiplied with. Dropout must be on.
__device__ inline Units dropout_factors(const UnitDropout& dropout, std::int64_t row, int tower, std::int64_t group) {
  const RandomWords words =
      philox(dropout.key->seed, {static_cast<std::uint32_t>(group), static_cast<std::uint32_t>(row),
                                 dropout.layer * kTowers + static_cast<std::uint32_t>(tower),
                                 static_cast<std::uint32_t>(dropout.key->step)});
  const auto factor = [&](std::uint32_t word) { return word < dropout.threshold ? 0.0F : dropout.scale; };
  return {{factor(words.x), factor(words.y), factor(words.z), factor(words.w)}};
}

/// max(z, 0), or PReLU; a NaN is let through, so that it reaches the loss and is seen there.
__device__ inline Units activate(const Units& z, const Units& slope, bool is_prelu) {
  Units a;
  for (int i = 0; i < kGroupUnits; ++i) {
    if (is_prelu) {
      a.v[i] = z.v[i] > 0.0F ? z.v[i] : slope.v[i] * z.v[i];
    } else {
      a.v[i] = z.v[i] < 0.0F ? 0.0F : z.v[i];
    }
  }
  return a;
}

/// ∂L/∂z from d = ∂L/∂a. ReLU: `input` is a. PReLU: `input` is z, `factors` those of dropout, and dslope += z·∂L/∂out
/// over negative z.
__device__ inline Units relu_gradient(const Units& d, const Units& input, float scale) {
  Units dz;
  for (int i = 0; i < kGroupUnits; ++i) dz.v[i] = input.v[i] > 0.0F ? scale * d.v[i] : 0.0F;
  return dz;
}
__device__ inline Units prelu_gradient(const Units& d, const Units& input, const Units& factors, const Units& slope,
                                       Units& dslope) {
  Units dz;
  for (int i = 0; i < kGroupUnits; ++i) {
    const float g = factors.v[i] * d.v[i];
    dslope.v[i] += input.v[i] > 0.0F ? 0.0F : input.v[i] * g;
    dz.v[i] = input.v[i] > 0.0F ? g : slope.v[i] * g;
  }
  return dz;
}

__device__ inline void add(Units& sum, const Units& other) {
  for (int i = 0; i < kGroupUnits; ++i) sum.v[i] += other.v[i];
}
__device__ inline void add_products(Units& sum, const Units& units, float factor) {
  for (int i = 0; i < kGroupUnits; ++i) sum.v[i] += units.v[i] * factor;
}
__device__ inline Units scaled(const Units& units, float factor) {
  Units result;
  for (int i = 0; i < kGroupUnits; ++i) result.v[i] = factor * units.v[i];
  return result;
}

/// Vectors of a hidden layer, per tower.
struct LayerVectors {
  const float* bias[kTowers];
  const float* slope[kTowers];  // null for ReLU
};
inline LayerVectors layer_vectors(const TowerPass& pass, std::size_t layer) {
  LayerVectors vectors{};
  for (std::size_t t = 0; t < kTowers; ++t) {
    vectors.bias[t] = pass.bias(pass.parameters, layer, t);
    vectors.slope[t] = pass.slope(pass.parameters, layer, t);
  }
  return vectors;
}

/// The layer of one unit per tower that gives the logits.
struct OutputLayer {
  const float* weight[kTowers];
  std::int64_t weight_step;
  const float* bias[kTowers];
};
inline OutputLayer output_layer(const TowerPass& pass) {
  OutputLayer output{};
  for (std::size_t t = 0; t < kTowers; ++t) {
    const auto weight = pass.weight(pass.parameters, pass.hidden_layers(), t);
    output.weight[t] = weight.data;
    output.weight_step = weight.stride;
    output.bias[t] = pass.bias(pass.parameters, pass.hidden_layers(), t);
  }
  return output;
}

/// The common row of an impression: the last one whose impressions begin at or before it. Padded impressions, behind
/// the last group, get `common_rows`, which there is none of.
__device__ inline std::uint32_t user_of(const std::uint32_t* common_begin, std::int64_t common_rows,
                                        std::int64_t impression) {
  std::int64_t low = 0, high = common_rows + 1;  // the first group that begins behind it is in [low, high]
  while (low < high) {
    const std::int64_t middle = (low + high) / 2;
    if (common_begin[middle] <= impression) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return static_cast<std::uint32_t>(low - 1);
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
