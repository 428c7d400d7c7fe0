#include "kernels/embedding.hpp"

#include "kernels/backend.hpp"
#include "kernels/error.hpp"
#include "kernels/nvtx.hpp"

namespace esmm {

namespace {

// Host-side facts only: on a device the offsets and rows themselves cannot be read here.
void validate_bags(const char* operation, const Bags& bags) {
  if (bags.fields < 0 || (bags.fields == 0 && bags.count() > 0) ||
      (bags.fields > 0 && bags.count() % bags.fields != 0)) {
    throw internal_error("{}: {} bags cannot be rows of {} fields", operation, bags.count(), bags.fields);
  }
  if (!bags.weights.empty() && bags.weights.size() != bags.rows.size()) {
    throw internal_error("{}: {} weights for {} ids", operation, bags.weights.size(), bags.rows.size());
  }
}

void validate_pooled(const char* operation, const Bags& bags, MatrixView<const float> pooled, std::int64_t dim) {
  validate_bags(operation, bags);
  if (bags.count() == 0) return;
  if (pooled.rows * bags.fields != bags.count() || pooled.cols < bags.fields * dim) {
    throw internal_error("{}: pooled matrix [{}, {}] does not fit {} bags of {} fields of dimension {}", operation,
                         pooled.rows, pooled.cols, bags.count(), bags.fields, dim);
  }
}

void validate_arena(const char* operation, const OptimizerStep& optimizer, const EmbeddingArena& arena) {
  validate(optimizer);
  const std::int64_t width = state_width(optimizer.config.kind, arena.weights.cols);
  if (arena.weights.cols < 1 || arena.state.cols != width || (width > 0 && arena.state.rows != arena.weights.rows)) {
    throw internal_error("{}: state [{}, {}] does not fit weights [{}, {}], which need {} state columns", operation,
                         arena.state.rows, arena.state.cols, arena.weights.rows, arena.weights.cols, width);
  }
}

}  // namespace

void pool_embeddings(Backend& backend, const Bags& bags, MatrixView<const float> table, MatrixView<float> out) {
  const NvtxRange range("pool_embeddings");
  validate_pooled("pool_embeddings", bags, out, table.cols);
  if (bags.count() > 0) backend.pool_embeddings(bags, table, out);
}

void sort_ids(Backend& backend, const Bags& sample, const Bags& common, SortedIds& sorted) {
  const NvtxRange range("sort_ids");
  validate_bags("sort_ids", sample);
  validate_bags("sort_ids", common);
  if (sample.ids() + common.ids() >= (std::int64_t{1} << 32)) {
    throw internal_error("sort_ids: {} ids in one batch, at most 2^32 - 1. Lower --batch-size.",
                         sample.ids() + common.ids());
  }
  sorted.gradient_dim = 0;
  backend.sort_ids(sample, common, sorted);
}

void update_embeddings(Backend& backend, const SortedIds& sorted, const Bags& sample, const Bags& common,
                       MatrixView<const float> dpooled_sample, MatrixView<const float> dpooled_common,
                       const OptimizerStep& optimizer, EmbeddingArena arena) {
  const NvtxRange range("update_embeddings");
  validate_pooled("update_embeddings", sample, dpooled_sample, arena.weights.cols);
  validate_pooled("update_embeddings", common, dpooled_common, arena.weights.cols);
  validate_arena("update_embeddings", optimizer, arena);
  backend.update_embeddings(sorted, sample, common, dpooled_sample, dpooled_common, optimizer, arena);
}

void embedding_gradient(Backend& backend, SortedIds& sorted, const Bags& sample, const Bags& common,
                        MatrixView<const float> dpooled_sample, MatrixView<const float> dpooled_common,
                        std::int64_t dim) {
  const NvtxRange range("embedding_gradient");
  validate_pooled("embedding_gradient", sample, dpooled_sample, dim);
  validate_pooled("embedding_gradient", common, dpooled_common, dim);
  sorted.gradient_dim = dim;
  backend.embedding_gradient(sorted, sample, common, dpooled_sample, dpooled_common, dim);
}

void update_rows(Backend& backend, const SortedIds& sorted, const OptimizerStep& optimizer, EmbeddingArena arena) {
  const NvtxRange range("update_rows");
  validate_arena("update_rows", optimizer, arena);
  if (sorted.gradient_dim != arena.weights.cols) {
    throw internal_error("update_rows: row gradients of dimension {} for rows of dimension {}", sorted.gradient_dim,
                         arena.weights.cols);
  }
  backend.update_rows(sorted, optimizer, arena);
}

SparseGradient row_gradients(Backend& backend, const SortedIds& sorted) {
  const NvtxRange range("row_gradients");
  return backend.row_gradients(sorted);
}

}  // namespace esmm
