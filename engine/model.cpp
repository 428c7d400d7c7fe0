#include "engine/model.hpp"

#include "kernels/copy.hpp"
#include "kernels/separate_towers.hpp"

namespace esmm {

namespace {

MatrixView<float> shaped(Buffer<float>& buffer, Memory& memory, std::int64_t rows, std::int64_t cols) {
  const std::int64_t stride = memory.row_stride(cols);
  buffer.resize(rows * stride);
  return {buffer.data(), rows, cols, stride};
}

TowerInputs tower_inputs(const BatchView& batch, const Activations& activations) {
  return {activations.pooled_common(), activations.pooled_sample(), batch.common_begin};
}

}  // namespace

Activations::Activations(Memory& memory, const ModelSpec& spec)
    : memory_(&memory), pooled_common_(memory, 0), pooled_sample_(memory, 0), logits_(memory, 0), towers_(memory) {
  prepare(spec, 0, 0);
}

void Activations::prepare(const ModelSpec& spec, std::int64_t rows, std::int64_t common_rows) {
  pooled_common_view_ = shaped(pooled_common_, *memory_, common_rows, spec.common_inputs());
  pooled_sample_view_ = shaped(pooled_sample_, *memory_, rows, spec.sample_inputs());
  logits_.resize(rows * kTowers);
  logits_view_ = {logits_.data(), rows, kTowers};
  towers_.prepare(spec.towers, rows, common_rows);
}

Gradients::Gradients(Memory& memory, const ModelSpec& spec)
    : memory_(&memory),
      logits_(memory, 0),
      pooled_common_(memory, 0),
      pooled_sample_(memory, 0),
      towers_(memory, spec.towers) {}

void Gradients::prepare(const ModelSpec& spec, std::int64_t rows, std::int64_t common_rows) {
  logits_.resize(rows * kTowers);
  logits_view_ = {logits_.data(), rows, kTowers};
  pooled_common_view_ = shaped(pooled_common_, *memory_, common_rows, spec.common_inputs());
  pooled_sample_view_ = shaped(pooled_sample_, *memory_, rows, spec.pooled_sample_columns());
}

void Model::forward(Backend& backend, const BatchView& batch, const Dropout& dropout, Activations& activations) const {
  const ModelSpec& spec = parameters_->spec();
  activations.prepare(spec, batch.rows(), batch.common_rows());
  const MatrixView<float> sample = activations.pooled_sample();
  const std::int64_t pooled = spec.pooled_sample_columns();

  pool_embeddings(backend, batch.common, parameters_->tables(), activations.pooled_common());
  pool_embeddings(backend, batch.sample, parameters_->tables(), sample.columns(0, pooled));
  copy_matrix(backend, batch.dense, sample.columns(pooled, sample.cols - pooled));
  towers_forward(backend, spec.towers, parameters_->towers().const_views(), tower_inputs(batch, activations), dropout,
                 activations.towers(), activations.logits());
}

void Model::backward(Backend& backend, const BatchView& batch, const Dropout& dropout, Activations& activations,
                     Gradients& gradients) const {
  const ModelSpec& spec = parameters_->spec();
  towers_backward(backend, spec.towers, parameters_->towers().const_views(), tower_inputs(batch, activations), dropout,
                  gradients.logits(), activations.towers(), gradients.towers().views(), gradients.pooled_common(),
                  gradients.pooled_sample());
  if (spec.method.shared_tables) return;
  const TowerViews<float>& views = gradients.towers().views();
  separate_towers(backend, views.first_common, spec.common_inputs(), spec.tower_dim());
  separate_towers(backend, views.first_sample, spec.pooled_sample_columns(), spec.tower_dim());
}

}  // namespace esmm
