#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/cuda/command_queue.hpp"
#include "kernels/towers.hpp"

// What the implementations of the towers share on the host: the arguments of a pass and views of its workspace.
namespace esmm::ESMM_DEVICE_NAMESPACE {

/// Impressions of one tile. Sums over impressions are made tile by tile, then added in order of the tiles.
inline constexpr std::int64_t kTileRows = 64;

inline std::int64_t pieces(std::int64_t size, std::int64_t piece) {
  return (size + piece - 1) / piece;
}
inline std::int64_t round_up(std::int64_t size, std::int64_t multiple) {
  return pieces(size, multiple) * multiple;
}

/// Layers count from 0, the hidden layers, to hidden.size(), the logits; a layer's columns are tower 0's units, then
/// tower 1's. T is the type in which z, a and dz are kept.
struct TowerPass {
  const TowerShape& shape;
  const TowerViews<const float>& parameters;
  const TowerInputs& inputs;
  const Dropout& dropout;
  TowerWorkspace& workspace;

  [[nodiscard]] bool has_common() const { return shape.common_inputs > 0; }
  [[nodiscard]] bool is_prelu() const { return shape.activation == Activation::prelu; }
  [[nodiscard]] bool has_dropout() const { return dropout.active && shape.dropout > 0.0F; }
  [[nodiscard]] std::int64_t impressions() const { return inputs.sample.rows; }
  [[nodiscard]] std::int64_t tiles() const { return pieces(impressions(), kTileRows); }
  [[nodiscard]] std::int64_t common_rows() const { return has_common() ? inputs.common.rows : 0; }
  [[nodiscard]] std::size_t hidden_layers() const { return shape.hidden.size(); }
  /// Units of one tower.
  [[nodiscard]] std::int64_t width(std::size_t layer) const {
    return layer == hidden_layers() ? 1 : shape.hidden[layer];
  }

  template <class T>
  [[nodiscard]] MatrixView<T> z(std::size_t layer) const {  // without data for ReLU
    return is_prelu() ? view<T>(layer, workspace.layers[layer].z) : MatrixView<T>();
  }
  template <class T>
  [[nodiscard]] MatrixView<T> a(std::size_t layer) const {
    return view<T>(layer, workspace.layers[layer].a);
  }
  template <class T>
  [[nodiscard]] MatrixView<T> dz(std::size_t layer) const {
    return view<T>(layer, workspace.layers[layer].dz);
  }
  [[nodiscard]] MatrixView<float> first_common() const {
    return {workspace.first_common.data(), common_rows(), kTowers * width(0)};
  }

  /// The part of a layer's columns, or of the first layer's vectors, that belongs to a tower.
  template <class T>
  [[nodiscard]] static MatrixView<T> of_tower(MatrixView<T> layer, std::size_t tower) {
    return layer.columns(static_cast<std::int64_t>(tower) * (layer.cols / kTowers), layer.cols / kTowers);
  }
  template <class T>
  [[nodiscard]] T* bias(const TowerViews<T>& views, std::size_t layer, std::size_t tower) const {
    return layer == 0 ? views.first_bias.data() + static_cast<std::int64_t>(tower) * width(0)
                      : views.deeper[tower][layer - 1].bias.data();
  }
  template <class T>
  [[nodiscard]] T* slope(const TowerViews<T>& views, std::size_t layer, std::size_t tower) const {  // null for ReLU
    if (!is_prelu()) return nullptr;
    return layer == 0 ? views.first_slope.data() + static_cast<std::int64_t>(tower) * width(0)
                      : views.deeper[tower][layer - 1].slope.data();
  }
  /// The weight that leads to a layer behind the first.
  template <class T>
  [[nodiscard]] MatrixView<T> weight(const TowerViews<T>& views, std::size_t layer, std::size_t tower) const {
    return views.deeper[tower][layer - 1].weight;
  }

 private:
  template <class T>
  [[nodiscard]] MatrixView<T> view(std::size_t layer, const Buffer<float>& buffer) const {
    static_assert(sizeof(T) <= sizeof(float));
    return {reinterpret_cast<T*>(buffer.data()), impressions(), kTowers * width(layer)};
  }
};

/// What backward is given and writes.
struct TowerGradients {
  MatrixView<const float> dlogits;      // [B, 2]
  const TowerViews<float>& parameters;  // of all parameters
  MatrixView<float> dcommon;            // [U, Ic]
  MatrixView<float> dsample;            // [B, n], n <= Is
};

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
