#include "kernels/cuda/tower_fused_kernels.hpp"
#include "kernels/cuda/tower_tile.cuh"

// Products whose operands both come from global memory, through the ring: rows times a packed weight, and weight
// gradients.
namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

template <class T>
__device__ inline void copy_either(const EitherMatrix<T>& from, std::int64_t row, std::int64_t column, int rows,
                                   int columns, T* to, int stride) {
  if (from.fp32.data != nullptr) {
    copy_block(from.fp32, row, column, rows, columns, from.aligned, to, stride);
  } else {
    copy_block(from.own, row, column, rows, columns, from.aligned, to, stride);
  }
}

/// Shared memory of both operands' rings and, in their place, the result.
template <class T>
std::size_t two_rings(std::int64_t left_elements) {
  return std::max(static_cast<std::size_t>(left_elements + kRingElements<T>) * sizeof(T), kResultBytes);
}

// ---- rows times a weight ----

constexpr int kMostProducts = 2;  // of one launch
template <class T>
struct RowProducts {
  RowsTimesWeight<T> product[kMostProducts];
  int count;
};

template <class T>
inline constexpr int kRowsStride = Tile<T>::kDepth + Tile<T>::kSkew;
template <class T>
inline constexpr std::int64_t kRowsElements = kStages* kTileRows* kRowsStride<T>;  // ring of the left operand

template <class T, int G>
__device__ void multiply_rows_strip(const RowsTimesWeight<T>& product, std::int64_t first_row,
                                    std::int64_t first_column, T* left, T* right) {
  constexpr int kDepth = Tile<T>::kDepth, kRows = static_cast<int>(kTileRows);
  constexpr int kLeftStage = kRows * kRowsStride<T>, kRightStage = kDepth * kRingStride<T>;
  const PackedWeight<T>& weight = product.weight;
  Sums<T, G> sums;
  for_each_step(
      static_cast<int>(weight.depth) / kDepth,
      [&](int step, int stage) {
        copy_either(product.rows, first_row, std::int64_t{step} * kDepth, kRows, kDepth, left + stage * kLeftStage,
                    kRowsStride<T>);
        copy_whole_block<T, kDepth, G * 32>(weight.data + step * kDepth * weight.columns + first_column, weight.columns,
                                            right + stage * kRightStage, kRingStride<T>);
      },
      [&](int stage, int) {
        sums.template step<false>(left + stage * kLeftStage, kRowsStride<T>, right + stage * kRightStage);
      });
  share(sums, left);
}

/// Copies the block's result to where it lies within `out`.
__device__ inline void store_result(const float* result, int columns, MatrixView<float> out, std::int64_t first_row,
                                    std::int64_t first_column) {
  for (int i = static_cast<int>(threadIdx.x); i < static_cast<int>(kTileRows) * columns;
       i += static_cast<int>(kTileThreads)) {
    const std::int64_t row = first_row + i / columns, column = first_column + i % columns;
    if (row < out.rows && column < out.cols) out(row, column) = result[i / columns * kResultStride + i % columns];
  }
}

template <class T>
__global__ void __launch_bounds__(kTileThreads, 2) multiply_rows_kernel(RowProducts<T> products) {
  int which = products.count - 1;
  while (blockIdx.x < products.product[which].first_block) --which;
  const RowsTimesWeight<T>& product = products.product[which];
  const std::int64_t strips = (product.out.cols + kStrip - 1) / kStrip, block = blockIdx.x - product.first_block;
  const std::int64_t first_row = block / strips * kTileRows, first_column = block % strips * kStrip;
  const std::int64_t left = product.weight.columns - first_column;
  const int columns = static_cast<int>(left < kStrip ? left : kStrip);
  auto* rows = shared_memory<T>();
  T* ring = rows + kRowsElements<T>;
  with_columns(columns, [&]<int G>() { multiply_rows_strip<T, G>(product, first_row, first_column, rows, ring); });
  store_result(shared_memory<float>(), columns, product.out, first_row, first_column);
}

// ---- weight gradients ----

constexpr int kMostGradients = 2 * kMostFusedLayers;
constexpr int kBlockInputs = 64;  // rows of a gradient that one block computes
template <class T>
struct Gradients {
  WeightGradient<T> gradient[kMostGradients];
  int count;
  std::int64_t items;
};
static_assert(sizeof(Gradients<float>) <= 4096, "kernels take at most 4 KB of arguments");

template <class T>
inline constexpr int kInputStride = kBlockInputs + Tile<T>::kSkew;
template <class T>
inline constexpr std::int64_t kInputElements = kStages* Tile<T>::kDepth* kInputStride<T>;

/// What one block computes: a part of a gradient, summed over a slice of impressions.
struct GradientBlock {
  std::int64_t slice, first_input, first_unit;
  int columns;
};
template <class T>
__device__ inline GradientBlock gradient_block(const WeightGradient<T>& gradient, std::int64_t block) {
  const std::int64_t strips = (gradient.out.cols + kStrip - 1) / kStrip;
  const std::int64_t parts = strips * ((gradient.out.rows + kBlockInputs - 1) / kBlockInputs);
  const std::int64_t first_unit = block % strips * kStrip, left = gradient.out.cols - first_unit;
  const std::int64_t padded = (left + kStripMultiple - 1) / kStripMultiple * kStripMultiple;
  return {block / parts, block % parts / strips * kBlockInputs, first_unit,
          static_cast<int>(padded < kStrip ? padded : kStrip)};
}

template <class T, int G>
__device__ void multiply_slice(const WeightGradient<T>& gradient, const GradientBlock& block, T* left, T* right) {
  constexpr int kDepth = Tile<T>::kDepth;
  constexpr int kLeftStage = kDepth * kInputStride<T>, kRightStage = kDepth * kRingStride<T>;
  const std::int64_t first = block.slice * gradient.slice_rows, behind = gradient.dz.rows() - first;
  const std::int64_t rows = behind < gradient.slice_rows ? behind : gradient.slice_rows;
  Sums<T, G> sums;
  for_each_step(
      static_cast<int>((rows + kDepth - 1) / kDepth),
      [&](int step, int stage) {
        const std::int64_t row = first + std::int64_t{step} * kDepth;
        copy_either(gradient.input, row, block.first_input, kDepth, kBlockInputs, left + stage * kLeftStage,
                    kInputStride<T>);
        copy_either(gradient.dz, row, block.first_unit, kDepth, G * 32, right + stage * kRightStage, kRingStride<T>);
      },
      [&](int stage, int) {
        sums.template step<true>(left + stage * kLeftStage, kInputStride<T>, right + stage * kRightStage);
      });
  share(sums, left);
}

template <class T>
__global__ void __launch_bounds__(kTileThreads, 2) weight_gradients_kernel(Gradients<T> gradients) {
  int which = gradients.count - 1;
  while (blockIdx.x < gradients.gradient[which].first_block) --which;
  const WeightGradient<T>& gradient = gradients.gradient[which];
  const GradientBlock block = gradient_block(gradient, blockIdx.x - gradient.first_block);
  auto* inputs = shared_memory<T>();
  T* ring = inputs + kInputElements<T>;
  with_columns(block.columns, [&]<int G>() { multiply_slice<T, G>(gradient, block, inputs, ring); });
  const std::int64_t size = gradient.out.rows * gradient.out.cols;
  store_result(shared_memory<float>(), block.columns,
               {gradient.sums + block.slice * size, gradient.out.rows, gradient.out.cols}, block.first_input,
               block.first_unit);
}

/// Adds the slices in order.
template <class T>
__global__ void add_slices_kernel(Gradients<T> gradients) {
  for (std::int64_t item = grid_thread(); item < gradients.items; item += grid_threads()) {
    int which = gradients.count - 1;
    while (item < gradients.gradient[which].first_item) --which;
    const WeightGradient<T>& gradient = gradients.gradient[which];
    const std::int64_t element = item - gradient.first_item, size = gradient.out.rows * gradient.out.cols;
    float sum = 0.0F;
    for (std::int64_t slice = 0; slice < gradient.slices; ++slice) sum += gradient.sums[slice * size + element];
    gradient.out(element / gradient.out.cols, element % gradient.out.cols) = sum;
  }
}

constexpr std::int64_t kMostSlices = 32;  // enough blocks for small batches, few partial sums for large ones

}  // namespace

template <class T>
void multiply_rows(CommandQueue& queue, std::vector<RowsTimesWeight<T>> products) {
  RowProducts<T> launched{};
  std::int64_t blocks = 0;
  for (RowsTimesWeight<T>& product : products) {
    if (product.out.empty()) continue;
    product.first_block = blocks;
    blocks += pieces(product.out.rows, kTileRows) * pieces(product.out.cols, kStrip);
    launched.product[launched.count++] = product;
  }
  queue.launch<multiply_rows_kernel<T>>({blocks, kTileThreads, two_rings<T>(kRowsElements<T>)}, launched);
}
template void multiply_rows(CommandQueue&, std::vector<RowsTimesWeight<float>>);
template void multiply_rows(CommandQueue&, std::vector<RowsTimesWeight<__nv_bfloat16>>);

template <class T>
void weight_gradients(CommandQueue& queue, std::vector<WeightGradient<T>> gradients, Buffer<float>& slices) {
  Gradients<T> launched{};
  std::int64_t blocks = 0, floats = 0;
  for (WeightGradient<T>& gradient : gradients) {
    if (gradient.out.empty()) continue;
    gradient.slice_rows = std::max(kTileRows, round_up(pieces(gradient.dz.rows(), kMostSlices), kTileRows));
    gradient.slices = pieces(gradient.dz.rows(), gradient.slice_rows);
    gradient.first_block = blocks;
    gradient.first_item = launched.items;
    blocks += gradient.slices * pieces(gradient.out.rows, kBlockInputs) * pieces(gradient.out.cols, kStrip);
    launched.items += gradient.out.rows * gradient.out.cols;
    floats += gradient.slices * gradient.out.rows * gradient.out.cols;
    launched.gradient[launched.count++] = gradient;
  }
  slices.resize(floats);
  floats = 0;
  for (int i = 0; i < launched.count; ++i) {
    WeightGradient<T>& gradient = launched.gradient[i];
    gradient.sums = slices.data() + floats;
    floats += gradient.slices * gradient.out.rows * gradient.out.cols;
  }
  queue.launch<weight_gradients_kernel<T>>({blocks, kTileThreads, two_rings<T>(kInputElements<T>)}, launched);
  queue.launch<add_slices_kernel<T>>(thread_per_item(launched.items), launched);
}
template void weight_gradients(CommandQueue&, std::vector<WeightGradient<float>>, Buffer<float>&);
template void weight_gradients(CommandQueue&, std::vector<WeightGradient<__nv_bfloat16>>, Buffer<float>&);

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
