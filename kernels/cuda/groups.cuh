#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "kernels/cuda/launch.cuh"
#include "kernels/view.hpp"

// Embedding rows are read by groups of lanes: a group takes one row at a time, each of its lanes W neighbouring floats.
namespace esmm::ESMM_DEVICE_NAMESPACE {

/// W floats that are loaded and stored at once.
template <int W>
struct alignas(W * sizeof(float)) Pack {
  float v[W];
};
template <int W>
__device__ inline Pack<W> load(const float* from) {
  return *reinterpret_cast<const Pack<W>*>(from);
}
template <int W>
__device__ inline void store(float* to, const Pack<W>& pack) {
  *reinterpret_cast<Pack<W>*>(to) = pack;
}

/// The threads of a block as groups of `lanes` (a power of two, at most a warp).
struct Group {
  __device__ explicit Group(unsigned lanes_)
      : lanes(lanes_), lane(threadIdx.x % lanes_), index(threadIdx.x / lanes_), count(blockDim.x / lanes_) {}
  /// This group's number in the grid, and the number of groups in the grid.
  [[nodiscard]] __device__ std::int64_t in_grid() const { return std::int64_t{blockIdx.x} * count + index; }
  [[nodiscard]] __device__ std::int64_t grid_count() const { return std::int64_t{gridDim.x} * count; }
  /// The lanes of this group within its warp, for warp operations.
  [[nodiscard]] __device__ unsigned mask() const {
    return lanes == kWarp ? kAllLanes : ((1U << lanes) - 1U) << (threadIdx.x % kWarp / lanes * lanes);
  }

  unsigned lanes, lane, index, count;
};

/// How kernels over rows of `dim` floats are launched.
struct RowGeometry {
  int pack = 1;        // W
  unsigned lanes = 1;  // of a group
  unsigned block = 256;

  [[nodiscard]] unsigned groups() const { return block / lanes; }
  /// One group per item as far as useful; the kernel strides over the rest. `floats`: shared memory of each group.
  [[nodiscard]] Geometry group_per_item(std::int64_t items, std::int64_t floats = 0) const {
    return {thread_per_item(items * lanes, block).grid, block,
            static_cast<std::size_t>(groups() * floats) * sizeof(float)};
  }
};

/// The widest pack that every address allows: rows of `dim` floats at multiples of `strides` from `pointers`; groups
/// just wide enough for a row; blocks small enough for `dim` floats of shared memory per group.
inline RowGeometry row_geometry(std::int64_t dim, std::initializer_list<std::int64_t> strides,
                                std::initializer_list<const void*> pointers) {
  RowGeometry geometry;
  for (const int pack : {4, 2}) {
    const auto fits = [&](std::int64_t floats) { return floats % pack == 0; };
    const auto aligned = [&](const void* pointer) {
      return reinterpret_cast<std::uintptr_t>(pointer) % (static_cast<std::size_t>(pack) * sizeof(float)) == 0;
    };
    if (fits(dim) && std::all_of(strides.begin(), strides.end(), fits) &&
        std::all_of(pointers.begin(), pointers.end(), aligned)) {
      geometry.pack = pack;
      break;
    }
  }
  while (geometry.lanes < kWarp && geometry.lanes * geometry.pack < dim) geometry.lanes *= 2;
  const auto shared_bytes = [&] { return geometry.groups() * dim * static_cast<std::int64_t>(sizeof(float)); };
  while (geometry.block > kWarp && shared_bytes() > static_cast<std::int64_t>(kSharedBytesWithoutOptIn)) {
    geometry.block /= 2;
  }
  return geometry;
}

/// Calls launch.operator()<W>() with the geometry's pack as a constant.
template <class Launch>
void with_pack(const RowGeometry& geometry, const Launch& launch) {
  if (geometry.pack == 4) return launch.template operator()<4>();
  if (geometry.pack == 2) return launch.template operator()<2>();
  return launch.template operator()<1>();
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
