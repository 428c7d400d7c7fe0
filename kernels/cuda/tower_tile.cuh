#pragma once
#include <algorithm>
#include <type_traits>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/tower_units.cuh"

// Matrix products of one block: 64 rows times a strip of up to 128 columns, summed in registers over steps of a fixed
// depth whose operands arrive through a ring in shared memory. fp32 is multiplied as fp32 by every thread, bf16 by the
// tensor cores with fp32 sums.
namespace esmm::ESMM_DEVICE_NAMESPACE {

inline constexpr unsigned kTileThreads = 256;
inline constexpr int kStrip = 128;         // columns of a product, at most
inline constexpr int kStripMultiple = 32;  // its columns are a multiple of
inline constexpr int kStages = 3;          // of the ring: two arrive while one is multiplied
inline constexpr int kResultStride = kStrip + 4;
inline constexpr std::int64_t kResultFloats = kTileRows * kResultStride;  // [64, 128] in shared memory
inline constexpr std::size_t kResultBytes = kResultFloats * sizeof(float);

/// kDepth: of one step. kSkew: elements that keep rows of one column in different banks.
template <class T>
struct Tile;
template <>
struct Tile<float> {
  static constexpr int kDepth = 16, kSkew = 4;
};
template <>
struct Tile<__nv_bfloat16> {
  static constexpr int kDepth = 32, kSkew = 8;
};
template <class T>
inline constexpr int kRingStride = kStrip + Tile<T>::kSkew;
template <class T>
inline constexpr std::int64_t kRingElements = kStages* Tile<T>::kDepth* kRingStride<T>;  // of the right operand
/// Shared memory for the ring of the right operand and, in its place, the result.
template <class T>
inline constexpr std::size_t kRingBytes = std::max(static_cast<std::size_t>(kRingElements<T>) * sizeof(T),
                                                   kResultBytes);
template <class T>
[[nodiscard]] inline std::int64_t padded_depth(std::int64_t size) {
  return round_up(size, Tile<T>::kDepth);
}
[[nodiscard]] inline std::int64_t padded_columns(std::int64_t size) {
  return round_up(size, kStripMultiple);
}

/// How a thread holds its part of the sums of [64, 32·G]. step: sums += a·b for a [64, kDepth] (element (r, k) at
/// a[r·stride + k]) or, transposed, at a[k·stride + r]; b [kDepth, 32·G] with rows of kRingStride.
template <class T, int G>
class Sums;

template <int G>
class Sums<float, G> {  // warp w: rows 8w to 8w + 7; lane: every 32nd column
 public:
  template <bool transposed>
  __device__ void step(const float* a, int stride, const float* b) {
    const int lane = static_cast<int>(threadIdx.x % kWarp), first_row = static_cast<int>(threadIdx.x / kWarp) * kRows;
    for (int k = 0; k < Tile<float>::kDepth; k += 4) {
      float left[4][kRows];
      for (int i = 0; i < (transposed ? 4 : kRows); ++i) load_left<transposed>(a, stride, first_row, k, i, left);
      for (int j = 0; j < 4; ++j) {
        float right[G];
        for (int g = 0; g < G; ++g) right[g] = b[(k + j) * kRingStride<float> + 32 * g + lane];
        for (int r = 0; r < kRows; ++r) {
          for (int g = 0; g < G; ++g) sum_[r][g] += left[j][r] * right[g];
        }
      }
    }
  }
  __device__ void store(float* result) const {
    const int lane = static_cast<int>(threadIdx.x % kWarp), first_row = static_cast<int>(threadIdx.x / kWarp) * kRows;
    for (int r = 0; r < kRows; ++r) {
      for (int g = 0; g < G; ++g) result[(first_row + r) * kResultStride + 32 * g + lane] = sum_[r][g];
    }
  }

 private:
  static constexpr int kRows = 8;
  struct alignas(16) Four {
    float v[4];
  };
  template <bool transposed>
  __device__ static void load_left(const float* a, int stride, int first_row, int k, int i, float (&left)[4][kRows]) {
    if constexpr (transposed) {
      for (int r = 0; r < kRows; r += 4) {
        const auto four = *reinterpret_cast<const Four*>(a + (k + i) * stride + first_row + r);
        for (int j = 0; j < 4; ++j) left[i][r + j] = four.v[j];
      }
    } else {
      const auto four = *reinterpret_cast<const Four*>(a + (first_row + i) * stride + k);
      for (int j = 0; j < 4; ++j) left[j][i] = four.v[j];
    }
  }

  float sum_[kRows][G] = {};
};

template <int G>
class Sums<__nv_bfloat16, G> {  // warp w: 16 rows, those of w mod 4, and G of the 2·G blocks of 16 columns
 public:
  __device__ Sums() {
    for (int g = 0; g < G; ++g) nvcuda::wmma::fill_fragment(sum_[g], 0.0F);
  }
  template <bool transposed>
  __device__ void step(const __nv_bfloat16* a, int stride, const __nv_bfloat16* b) {
    namespace wmma = nvcuda::wmma;
    using Layout = std::conditional_t<transposed, wmma::col_major, wmma::row_major>;
    for (int k = 0; k < Tile<__nv_bfloat16>::kDepth; k += 16) {
      wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, Layout> left;
      wmma::load_matrix_sync(left, transposed ? a + k * stride + row() : a + row() * stride + k,
                             static_cast<unsigned>(stride));
      for (int g = 0; g < G; ++g) {
        wmma::fragment<wmma::matrix_b, 16, 16, 16, __nv_bfloat16, wmma::row_major> right;
        wmma::load_matrix_sync(right, b + k * kRingStride<__nv_bfloat16> + column(g), kRingStride<__nv_bfloat16>);
        wmma::mma_sync(sum_[g], left, right, sum_[g]);
      }
    }
  }
  __device__ void store(float* result) const {
    for (int g = 0; g < G; ++g) {
      nvcuda::wmma::store_matrix_sync(result + row() * kResultStride + column(g), sum_[g], kResultStride,
                                      nvcuda::wmma::mem_row_major);
    }
  }

 private:
  __device__ static int row() { return static_cast<int>(threadIdx.x / kWarp % 4) * 16; }
  __device__ static int column(int g) { return (static_cast<int>(threadIdx.x / kWarp / 4) * G + g) * 16; }
  nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float> sum_[G];
};

/// Calls load(step, stage) for every step, kStages - 1 steps ahead of multiply(step, stage). All threads must call it;
/// a barrier comes first, so that what it reads and what it overwrites may have been in use before.
template <class Load, class Multiply>
__device__ inline void for_each_step(int steps, const Load& load, const Multiply& multiply) {
  __syncthreads();
  for (int step = 0; step < kStages - 1; ++step) {
    if (step < steps) load(step, step);
    __pipeline_commit();
  }
  for (int step = 0; step < steps; ++step) {
    __pipeline_wait_prior(kStages - 2);
    __syncthreads();  // the step's operands are complete, and the stage of the step before is free
    if (const int next = step + kStages - 1; next < steps) load(next, next % kStages);
    __pipeline_commit();
    multiply(step % kStages, step);
  }
}

/// Four neighbouring elements; 0 where they are outside of `from`.
template <class From>
__device__ inline Units load_inside(MatrixView<const From> from, std::int64_t row, std::int64_t column, bool aligned) {
  const std::int64_t count = row < from.rows ? from.cols - column : 0;
  return count <= 0 ? Units{} : load_units(from.row(row) + column, count, aligned && count >= kGroupUnits);
}

/// Starts copying rows [row, row + rows) and columns [column, column + columns) of `from` into shared memory; what is
/// outside of `from` becomes 0. `aligned`: rows of `from` begin at multiples of 16 bytes. Where types differ or rows
/// are not aligned, the copy goes through registers and is done when this returns.
template <class T, class From>
__device__ inline void copy_block(MatrixView<const From> from, std::int64_t row, std::int64_t column, int rows,
                                  int columns, bool aligned, T* to, int stride) {
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(kTileThreads);
  if constexpr (std::is_same_v<T, From>) {
    constexpr int kChunk = 16 / sizeof(T);
    if (aligned) {
      const int chunks = columns / kChunk;
      for (int i = thread; i < rows * chunks; i += threads) {
        const int r = i / chunks, c = i % chunks * kChunk;
        const std::int64_t left = row + r < from.rows ? from.cols - (column + c) : 0;
        const int inside = left < 0 ? 0 : left < kChunk ? static_cast<int>(left) : kChunk;
        const T* source = inside > 0 ? from.row(row + r) + column + c : from.data;
        __pipeline_memcpy_async(to + r * stride + c, source, 16, static_cast<unsigned>(kChunk - inside) * sizeof(T));
      }
      return;
    }
  }
  constexpr int kAhead = 4;  // loads under way at once
  const int groups = columns / kGroupUnits;
  for (int begin = thread; begin < rows * groups; begin += kAhead * threads) {
    Units units[kAhead]{};
    for (int k = 0; k < kAhead; ++k) {
      const int i = begin + k * threads;
      if (i < rows * groups) units[k] = load_inside(from, row + i / groups, column + i % groups * kGroupUnits, aligned);
    }
    for (int k = 0; k < kAhead; ++k) {
      const int i = begin + k * threads;
      if (i < rows * groups)
        store_units(to + i / groups * stride + i % groups * kGroupUnits, units[k], kGroupUnits, true);
    }
  }
}

/// The same for a block that lies in `from` as a whole, in rows that are aligned.
template <class T, int rows, int columns>
__device__ inline void copy_whole_block(const T* from, std::int64_t from_stride, T* to, int stride) {
  constexpr int kChunk = 16 / sizeof(T), kChunks = columns / kChunk;
  for (int i = static_cast<int>(threadIdx.x); i < rows * kChunks; i += static_cast<int>(kTileThreads)) {
    const int r = i / kChunks, c = i % kChunks * kChunk;
    __pipeline_memcpy_async(to + r * stride + c, from + r * from_stride + c, 16);
  }
}

/// Puts a block's sums where its ring was, for all threads to read.
template <class T, int G>
__device__ inline float* share(const Sums<T, G>& sums, void* ring) {
  __syncthreads();
  auto* result = static_cast<float*>(ring);
  sums.store(result);
  __syncthreads();
  return result;
}

/// result [64, 32·G] = a [64, depth] · weight [depth, 32·G]: `a` lies in shared memory, the weight is packed in global
/// memory. The result lies where the ring was.
template <class T, int G>
__device__ inline void multiply_strip(const T* a, int a_stride, int depth, const T* weight, std::int64_t weight_stride,
                                      T* ring) {
  constexpr int kDepth = Tile<T>::kDepth, kStage = kDepth * kRingStride<T>;
  Sums<T, G> sums;
  for_each_step(
      depth / kDepth,
      [&](int step, int stage) {
        copy_whole_block<T, kDepth, G * 32>(weight + step * kDepth * weight_stride, weight_stride,
                                            ring + stage * kStage, kRingStride<T>);
      },
      [&](int stage, int step) { sums.template step<false>(a + step * kDepth, a_stride, ring + stage * kStage); });
  share(sums, ring);
}

/// Calls function.template operator()<G>() for a strip of 32·G columns.
template <class Function>
__device__ inline void with_columns(int columns, const Function& function) {
  if (columns > 96) return function.template operator()<4>();
  if (columns > 64) return function.template operator()<3>();
  if (columns > 32) return function.template operator()<2>();
  function.template operator()<1>();
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
