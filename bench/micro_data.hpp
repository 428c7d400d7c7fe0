#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "bench/random_batch.hpp"
#include "engine/parameters.hpp"
#include "kernels/backend.hpp"
#include "kernels/embedding.hpp"

namespace esmm::bench {

/// A batch, and the model that it is for.
struct MicroShape : BatchShape {
  std::string name;
  std::int64_t dim;
  std::vector<std::int64_t> hidden;
  Activation activation;
};

/// The operands of every operation, in the backend's memory, filled with random values; the same every time.
class MicroData {
 public:
  MicroData(Backend& backend, const MicroShape& shape, OptimizerKind optimizer);

  [[nodiscard]] const MicroShape& shape() const { return shape_; }
  [[nodiscard]] const TowerShape& towers() const { return towers_; }
  [[nodiscard]] std::int64_t dim() const { return shape_.dim; }
  [[nodiscard]] Bags sample() const { return {sample_offsets_.span(), sample_rows_.span(), {}, shape_.sample_fields}; }
  [[nodiscard]] Bags common() const { return {common_offsets_.span(), common_rows_.span(), {}, shape_.common_fields}; }
  [[nodiscard]] std::span<const std::uint32_t> common_begin() const { return common_begin_.span(); }
  [[nodiscard]] EmbeddingArena arena() const;
  [[nodiscard]] std::int64_t state_columns() const { return state_width(optimizer_, shape_.dim); }
  [[nodiscard]] OptimizerStep step() const;

  [[nodiscard]] MatrixView<float> pooled_sample() const {
    return {pooled_sample_.data(), shape_.impressions, sample_columns()};
  }
  [[nodiscard]] MatrixView<float> pooled_common() const {
    return {pooled_common_.data(), shape_.common_rows, common_columns()};
  }
  [[nodiscard]] MatrixView<float> dsample() const { return {dsample_.data(), shape_.impressions, sample_columns()}; }
  [[nodiscard]] MatrixView<float> dcommon() const { return {dcommon_.data(), shape_.common_rows, common_columns()}; }
  [[nodiscard]] MatrixView<float> logits() const { return {logits_.data(), shape_.impressions, kTowers}; }
  [[nodiscard]] MatrixView<float> dlogits() const { return {dlogits_.data(), shape_.impressions, kTowers}; }
  [[nodiscard]] TowerInputs inputs() const { return {pooled_common(), pooled_sample(), common_begin()}; }
  [[nodiscard]] std::span<const std::uint8_t> click() const { return click_.span(); }
  [[nodiscard]] std::span<const std::uint8_t> conversion() const { return conversion_.span(); }
  /// Distinct rows of the arena among the ids of the batch.
  [[nodiscard]] std::int64_t distinct_rows() const { return distinct_rows_; }

  TowerParameters parameters, gradients;
  Buffer<float> dense_state;  // of the towers' parameters
  TowerWorkspace workspace;
  std::unique_ptr<SortedIds> sorted;

 private:
  [[nodiscard]] std::int64_t sample_columns() const { return towers_.sample_inputs; }
  [[nodiscard]] std::int64_t common_columns() const { return towers_.common_inputs; }

  MicroShape shape_;
  TowerShape towers_;
  OptimizerKind optimizer_;
  std::int64_t stride_, state_stride_, distinct_rows_ = 0;
  Buffer<std::uint32_t> sample_offsets_, sample_rows_, common_offsets_, common_rows_, common_begin_;
  Buffer<std::uint8_t> click_, conversion_;
  Buffer<float> table_, state_, pooled_sample_, pooled_common_, dsample_, dcommon_, logits_, dlogits_;
};

}  // namespace esmm::bench
