#include <algorithm>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/dims.hpp"
#include "kernels/cpu/sorted_ids.hpp"
#include "kernels/cpu/update_rows.hpp"

namespace esmm::cpu {

namespace {

constexpr std::int64_t kRowsAhead = 20;        // rows between asking for weights and state and updating them
constexpr std::int64_t kDenseChunk = 4096;     // parameters
constexpr std::int64_t kNormTileWidth = 4096;  // columns
constexpr std::int64_t kNormTileSize = 16384;  // elements

/// One step on `count` weights whose state lies in up to two slots of as many floats.
template <OptimizerKind kind, class Count>
ESMM_INLINE void step_elements(StepConstants<float> c, Count count, const float* __restrict gradient,
                               float* __restrict weights, float* __restrict slot0, float* __restrict slot1) {
#pragma omp simd  // otherwise short rows are unrolled before they can be vectorised
  for (std::int64_t i = 0; i < count; ++i) {
    const float g = effective_gradient(c, gradient[i], weights[i]);
    if constexpr (kind == OptimizerKind::sgd) sgd_update(c, g, weights[i]);
    if constexpr (kind == OptimizerKind::adagrad) adagrad_update(c, g, weights[i], slot0[i]);
    if constexpr (kind == OptimizerKind::adam) adam_update(c, g, weights[i], slot0[i], slot1[i]);
    if constexpr (kind == OptimizerKind::ftrl) ftrl_update(c, g, weights[i], slot0[i], slot1[i]);
  }
}

template <class Dim>
ESMM_INLINE void step_rowwise(StepConstants<float> c, Dim dim, const float* __restrict gradient,
                              float* __restrict weights, float* accumulator) {
  const float sum = squared_gradient_sum(c, gradient, weights, dim);
  const float rate = rowwise_adagrad_rate(c, sum, dim, *accumulator);
#pragma omp simd
  for (std::int64_t d = 0; d < dim; ++d) weights[d] -= rate * effective_gradient(c, gradient[d], weights[d]);
}

template <OptimizerKind kind>
ESMM_INLINE void step_rows_of(const StepConstants<float>& c, std::span<const std::uint32_t> rows,
                              MatrixView<const float> gradients, EmbeddingArena arena) {
  const auto count = static_cast<std::int64_t>(rows.size());
  with_dim(
      arena.weights.cols, [&](auto dim) __attribute__((always_inline)) {
        const auto ask = [&](std::int64_t i) __attribute__((always_inline)) {
          prefetch_floats(arena.weights.row(rows[static_cast<std::size_t>(i)]), dim);
          prefetch_floats(arena.state.row(rows[static_cast<std::size_t>(i)]), arena.state.cols);
        };
        for (std::int64_t i = 0; i < std::min(count, kRowsAhead); ++i) ask(i);
        for (std::int64_t i = 0; i < count; ++i) {
          if (i + kRowsAhead < count) ask(i + kRowsAhead);
          float* weights = arena.weights.row(rows[static_cast<std::size_t>(i)]);
          float* state = arena.state.row(rows[static_cast<std::size_t>(i)]);
          if constexpr (kind == OptimizerKind::rowwise_adagrad) {
            step_rowwise(c, dim, gradients.row(i), weights, state);
          } else {
            step_elements<kind>(c, dim, gradients.row(i), weights, state, state + dim);
          }
        }
      });
}

ESMM_VECTORIZED void step_rows_vectorized(OptimizerKind kind, const StepConstants<float>& c,
                                          std::span<const std::uint32_t> rows, MatrixView<const float> gradients,
                                          EmbeddingArena arena) {
  using enum OptimizerKind;
  switch (kind) {
    case sgd:
      return step_rows_of<sgd>(c, rows, gradients, arena);
    case adagrad:
      return step_rows_of<adagrad>(c, rows, gradients, arena);
    case rowwise_adagrad:
      return step_rows_of<rowwise_adagrad>(c, rows, gradients, arena);
    case adam:
      return step_rows_of<adam>(c, rows, gradients, arena);
    case ftrl:
      return step_rows_of<ftrl>(c, rows, gradients, arena);
  }
}

ESMM_VECTORIZED void step_dense(OptimizerKind kind, const StepConstants<float>& c, std::int64_t count,
                                const float* gradient, float* weights, float* slot0, float* slot1) {
  using enum OptimizerKind;
  switch (kind) {
    case sgd:
      return step_elements<sgd>(c, count, gradient, weights, slot0, slot1);
    case adagrad:
      return step_elements<adagrad>(c, count, gradient, weights, slot0, slot1);
    case adam:
      return step_elements<adam>(c, count, gradient, weights, slot0, slot1);
    case ftrl:
      return step_elements<ftrl>(c, count, gradient, weights, slot0, slot1);
    case rowwise_adagrad:
      return;  // for tables only, refused by esmm::update_dense
  }
}

/// Σ x² of a tile in eight interleaved partial sums, an order that vector units can follow.
ESMM_VECTORIZED double squared_norm_of_tile(MatrixView<const float> tile) {
  constexpr std::int64_t kLanes = 8;
  double lanes[kLanes] = {};
  const std::int64_t rest = tile.cols % kLanes;
  const std::int64_t whole = tile.cols - rest;
  const auto square = [](float x) { return static_cast<double>(x) * static_cast<double>(x); };
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const float* x = tile.row(r);
    for (std::int64_t i = 0; i < whole; i += kLanes) {
      for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += square(x[i + lane]);
    }
    for (std::int64_t lane = 0; lane < rest; ++lane) lanes[lane] += square(x[whole + lane]);
  }
  double sum = 0.0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace

void step_rows(OptimizerKind kind, const StepConstants<float>& constants, std::span<const std::uint32_t> rows,
               MatrixView<const float> gradients, EmbeddingArena arena) {
  step_rows_vectorized(kind, constants, rows, gradients, arena);
}

void CpuBackend::initialise_state(const OptimizerConfig& config, MatrixView<float> state, std::int64_t dim) {
  const bool has_accumulator = config.kind == OptimizerKind::adagrad || config.kind == OptimizerKind::rowwise_adagrad ||
                               config.kind == OptimizerKind::ftrl;
  const std::int64_t first = config.kind == OptimizerKind::ftrl ? dim : 0;  // ftrl: z, then the accumulator n
  pool_.for_each_chunk((state.rows + 1023) / 1024, [&](std::int64_t chunk, int) {
    for (std::int64_t r = chunk * 1024; r < std::min(state.rows, (chunk + 1) * 1024); ++r) {
      std::fill(state.row(r), state.row(r) + state.cols, 0.0F);
      if (has_accumulator) std::fill(state.row(r) + first, state.row(r) + state.cols, config.initial_accumulator);
    }
  });
}

void CpuBackend::update_dense(std::span<float> parameters, std::span<const float> gradients, std::span<float> state,
                              const OptimizerStep& optimizer) {
  if (is_skipped(optimizer.skip)) return;
  const auto constants =
      with_gradient_scale(step_constants<float>(optimizer, UpdateScope::dense), optimizer.gradient_scale);
  const auto count = static_cast<std::int64_t>(parameters.size());
  pool_.for_each_chunk((count + kDenseChunk - 1) / kDenseChunk, [&](std::int64_t chunk, int) {
    const std::int64_t first = chunk * kDenseChunk;
    float* slot0 = state.data() + (state.empty() ? 0 : first);
    float* slot1 = state.size() > parameters.size() ? slot0 + count : slot0;
    step_dense(optimizer.config.kind, constants, std::min(kDenseChunk, count - first), gradients.data() + first,
               parameters.data() + first, slot0, slot1);
  });
}

/// Of the towers' gradients and, unless null, those of rows.
double CpuBackend::squared_gradient_norm(std::span<const float> gradients, const SortedIds* rows) {
  const double squares = CpuBackend::squared_norm({gradients.data(), 1, static_cast<std::int64_t>(gradients.size())});
  if (rows == nullptr) return squares;
  return squares + CpuBackend::squared_norm(static_cast<const CpuSortedIds*>(rows)->row_gradients().values);
}

void CpuBackend::clipping_scale(std::span<const float> gradients, const SortedIds* rows, float limit, float* scale) {
  *scale = clipping_factor(squared_gradient_norm(gradients, rows), limit);
}

void CpuBackend::check_finite(const TaskLosses* losses, std::span<const float> gradients, const SortedIds* rows,
                              std::int64_t* skip) {
  *skip = is_finite(*losses, squared_gradient_norm(gradients, rows)) ? 0 : 1;
}

double CpuBackend::squared_norm(MatrixView<const float> values) {
  if (values.empty()) return 0.0;
  const std::int64_t width = std::min(values.cols, kNormTileWidth);
  const std::int64_t height = kNormTileSize / width;
  const std::int64_t tiles_across = (values.cols + width - 1) / width;
  const std::int64_t tiles_down = (values.rows + height - 1) / height;
  partial_norms_.resize(tiles_across * tiles_down);
  pool_.for_each_chunk(tiles_across * tiles_down, [&](std::int64_t tile, int) {
    const std::int64_t row = tile / tiles_across * height;
    const std::int64_t column = tile % tiles_across * width;
    partial_norms_.data()[tile] = squared_norm_of_tile({values.row(row) + column, std::min(height, values.rows - row),
                                                        std::min(width, values.cols - column), values.stride});
  });
  double sum = 0.0;
  for (const double partial : partial_norms_.span()) sum += partial;
  return sum;
}

}  // namespace esmm::cpu
