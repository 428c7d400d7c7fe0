#pragma once
#include <cstdint>
#include <span>

#include "kernels/batch.hpp"
#include "kernels/optimizer.hpp"

namespace esmm {

class Backend;

/// All embedding tables of a model in one arena of rows, with one optimizer state row beside each.
struct EmbeddingArena {
  MatrixView<float> weights;  // [V, D]
  MatrixView<float> state;    // [V, S] S = state_width(optimizer, D)
};

/// Gradients of the rows that a batch touches, each distinct row once, ascending.
struct SparseGradient {
  std::span<const std::uint32_t> rows;  // [R]
  MatrixView<float> values;             // [R, D]
};

/// The id occurrences of one batch sorted by arena row; opaque, made by `Backend::make_sorted_ids`, filled by
/// `sort_ids` and reused from step to step. Each backend has its own kind.
class SortedIds {
 public:
  virtual ~SortedIds() = default;
  std::int64_t gradient_dim = 0;  // D of what `embedding_gradient` left here; 0: nothing since the last `sort_ids`
};

/// Pools embeddings: out[r, f*D .. f*D+D) = Σ_{i in bag (r,f)} weight_i · table[row_i]; an empty bag gives zeros.
/// bags [R*F], table [V, D], out [R, >= F*D]. Bitwise deterministic: each bag is summed in its own order.
/// Asynchronous on a device. Throws Error (internal) if shapes disagree. Source: arXiv:1804.07931 §2.3 (embedding
/// layer).
void pool_embeddings(Backend& backend, const Bags& bags, MatrixView<const float> table, MatrixView<float> out);

/// Sorts the batch's id occurrences (common and sample side together) by arena row, stably, so that the gradient of a
/// row is summed in batch order whatever the number of threads. Depends on ids only: a device sorts beside the
/// operations that follow, until the update. On a device row 2^32 - 1 must not occur; no model has one.
void sort_ids(Backend& backend, const Bags& sample, const Bags& common, SortedIds& sorted);

/// Gradient of every touched row, g[v] = Σ over its occurrences of weight · dpooled[bag], applied by the optimizer in
/// the same pass (`scale` multiplies g first, then `l2 · weight` is added; untouched rows do not move).
/// dpooled_sample [B, >= Fs*D], dpooled_common [U, >= Fc*D]; `step` counts from 1.
void update_embeddings(Backend& backend, const SortedIds& sorted, const Bags& sample, const Bags& common,
                       MatrixView<const float> dpooled_sample, MatrixView<const float> dpooled_common,
                       const OptimizerStep& optimizer, EmbeddingArena arena);

/// The same gradient without the update, which `update_rows` does: for clipping, which needs every gradient before any
/// row may move. The result stays in `sorted` until the next `sort_ids`; how many rows it has, a device keeps to
/// itself.
void embedding_gradient(Backend& backend, SortedIds& sorted, const Bags& sample, const Bags& common,
                        MatrixView<const float> dpooled_sample, MatrixView<const float> dpooled_common,
                        std::int64_t dim);

/// Applies the optimizer to the row gradients that `embedding_gradient` left in `sorted`; same arithmetic as
/// `update_embeddings`. Throws Error (internal) if there are none of the arena's dimension.
void update_rows(Backend& backend, const SortedIds& sorted, const OptimizerStep& optimizer, EmbeddingArena arena);

/// What `embedding_gradient` left in `sorted`, for tests: spans in the backend's memory. Synchronises, to learn how
/// many rows there are.
[[nodiscard]] SparseGradient row_gradients(Backend& backend, const SortedIds& sorted);

}  // namespace esmm
