#include "kernels/towers.hpp"

#include "kernels/backend.hpp"
#include "kernels/error.hpp"
#include "kernels/nvtx.hpp"

namespace esmm {

namespace {

template <class T>
void require_shape(const char* what, MatrixView<T> view, std::int64_t rows, std::int64_t cols) {
  if (view.rows != rows || view.cols != cols) {
    throw internal_error("towers: {} is [{}, {}], expected [{}, {}]", what, view.rows, view.cols, rows, cols);
  }
}

template <class T>
void require_size(const char* what, std::span<T> span, std::int64_t size) {
  if (static_cast<std::int64_t>(span.size()) != size) {
    throw internal_error("towers: {} has {} elements, expected {}", what, span.size(), size);
  }
}

template <class T>
void require_views(const TowerShape& shape, const TowerViews<T>& views) {
  const std::int64_t slopes = shape.activation == Activation::prelu ? 1 : 0;
  const std::int64_t first_width = kTowers * shape.hidden.front();
  require_shape("first_common", views.first_common, shape.common_inputs, first_width);
  require_shape("first_sample", views.first_sample, shape.sample_inputs, first_width);
  require_size("first_bias", views.first_bias, first_width);
  require_size("first_slope", views.first_slope, slopes * first_width);
  for (const auto& layers : views.deeper) {
    if (layers.size() != shape.hidden.size()) {
      throw internal_error("towers: {} layers behind the first, expected {}", layers.size(), shape.hidden.size());
    }
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const bool is_output = l + 1 == layers.size();
      const std::int64_t width = is_output ? 1 : shape.hidden[l + 1];
      require_shape("a layer's weight", layers[l].weight, shape.hidden[l], width);
      require_size("a layer's bias", layers[l].bias, width);
      require_size("a layer's slope", layers[l].slope, is_output ? 0 : slopes * width);
    }
  }
}

void require_inputs(const TowerShape& shape, const TowerInputs& inputs) {
  if (shape.hidden.empty()) throw internal_error("towers: no hidden layer");
  if (!(shape.dropout >= 0.0F && shape.dropout < 1.0F)) {
    throw internal_error("towers: dropout {} is not in [0, 1)", shape.dropout);
  }
  require_shape("sample", inputs.sample, inputs.sample.rows, shape.sample_inputs);
  if (shape.common_inputs == 0) return;
  require_shape("common", inputs.common, inputs.common.rows, shape.common_inputs);
  require_size("common_begin", inputs.common_begin, inputs.common.rows + 1);
}

}  // namespace

void TowerWorkspace::prepare(const TowerShape& shape, std::int64_t impressions, std::int64_t common_rows) {
  while (layers.size() < shape.hidden.size()) {
    layers.push_back({Buffer<float>(*memory_, 0), Buffer<float>(*memory_, 0), Buffer<float>(*memory_, 0)});
  }
  for (std::size_t l = 0; l < shape.hidden.size(); ++l) {
    const std::int64_t size = impressions * kTowers * shape.hidden[l];
    layers[l].z.resize(shape.activation == Activation::prelu ? size : 0);
    layers[l].a.resize(size);
    layers[l].dz.resize(size);
  }
  first_common.resize(shape.common_inputs == 0 ? 0 : common_rows * kTowers * shape.hidden.front());
}

void towers_forward(Backend& backend, const TowerShape& shape, const TowerViews<const float>& parameters,
                    const TowerInputs& inputs, const Dropout& dropout, TowerWorkspace& workspace,
                    MatrixView<float> logits) {
  const NvtxRange range("towers_forward");
  require_inputs(shape, inputs);
  require_views(shape, parameters);
  require_shape("logits", logits, inputs.sample.rows, kTowers);
  workspace.prepare(shape, inputs.sample.rows, inputs.common.rows);
  backend.towers_forward(shape, parameters, inputs, dropout, workspace, logits);
}

void towers_backward(Backend& backend, const TowerShape& shape, const TowerViews<const float>& parameters,
                     const TowerInputs& inputs, const Dropout& dropout, MatrixView<const float> dlogits,
                     TowerWorkspace& workspace, const TowerViews<float>& gradients, MatrixView<float> dcommon,
                     MatrixView<float> dsample) {
  const NvtxRange range("towers_backward");
  require_inputs(shape, inputs);
  require_views(shape, parameters);
  require_views(shape, gradients);
  require_shape("dlogits", dlogits, inputs.sample.rows, kTowers);
  if (shape.common_inputs > 0) require_shape("dcommon", dcommon, inputs.common.rows, shape.common_inputs);
  if (dsample.rows != inputs.sample.rows || dsample.cols > shape.sample_inputs) {
    throw internal_error("towers: dsample is [{}, {}], expected [{}, at most {}]", dsample.rows, dsample.cols,
                         inputs.sample.rows, shape.sample_inputs);
  }
  backend.towers_backward(shape, parameters, inputs, dropout, dlogits, workspace, gradients, dcommon, dsample);
}

}  // namespace esmm
