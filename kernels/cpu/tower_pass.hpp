#pragma once
#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/cpu/activation.hpp"
#include "kernels/error.hpp"
#include "kernels/towers.hpp"

// What the towers' passes in fp32 (towers.cpp) and in bfloat16 (towers_bf16.cpp) share. Both run over fixed tiles of
// impressions, each through its whole chain of layers, so that its activations stay in the second-level cache. Weight
// gradients run over fixed blocks of the gradient, each summed over all impressions in order. Nothing depends on which
// thread runs a tile or a block.
namespace esmm::cpu {

inline constexpr std::int64_t kTileRows = 64;
inline constexpr std::int64_t kCommonTileRows = 16;  // common rows are few: smaller tiles, to occupy every thread
inline constexpr std::int64_t kGradientBlock = 96;   // rows and columns of a block of a weight gradient (measured)
inline constexpr std::int64_t kGradientDepth = 128;  // impressions per product: what a block reads stays in the cache

inline std::int64_t pieces(std::int64_t size, std::int64_t piece) {
  return (size + piece - 1) / piece;
}

template <class T>
std::span<T> part(std::span<T> whole, std::int64_t begin, std::int64_t size) {
  return whole.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(size));
}

struct Rows {
  std::int64_t begin, count;
};
inline Rows tile_rows(std::int64_t tile, std::int64_t tile_size, std::int64_t rows) {
  return {tile * tile_size, std::min(tile_size, rows - tile * tile_size)};
}

template <class T>
MatrixView<T> slice(MatrixView<T> view, Rows rows) {
  return {view.row(rows.begin), rows.count, view.cols, view.stride};
}

inline void fill_rows(MatrixView<float> out, std::span<const float> values) {
  for (std::int64_t r = 0; r < out.rows; ++r) std::copy(values.begin(), values.end(), out.row(r));
}

/// The views that both passes share. Layers count from 0, the hidden layers, to hidden.size(), the logits; a layer's
/// columns are tower 0's units, then tower 1's.
class Pass {
 public:
  Pass(const TowerShape& shape, const TowerViews<const float>& parameters, const TowerInputs& inputs,
       const Dropout& dropout, TowerWorkspace& workspace)
      : shape_(shape), parameters_(parameters), inputs_(inputs), dropout_(dropout), workspace_(workspace) {
    const auto& begin = inputs.common_begin;
    if (has_common() && (begin.front() != 0 || begin.back() != impressions())) {
      throw internal_error("towers: common_begin covers [{}, {}) of {} impressions", begin.front(), begin.back(),
                           impressions());
    }
  }

  [[nodiscard]] bool has_common() const { return shape_.common_inputs > 0; }
  [[nodiscard]] bool is_prelu() const { return shape_.activation == Activation::prelu; }
  [[nodiscard]] std::int64_t impressions() const { return inputs_.sample.rows; }
  [[nodiscard]] std::int64_t common_rows() const { return has_common() ? inputs_.common.rows : 0; }
  [[nodiscard]] std::size_t hidden_layers() const { return shape_.hidden.size(); }
  /// Units of one tower.
  [[nodiscard]] std::int64_t width(std::size_t layer) const {
    return layer == hidden_layers() ? 1 : shape_.hidden[layer];
  }

  template <class T>
  [[nodiscard]] MatrixView<T> of_tower(MatrixView<T> layer, std::size_t tower) const {
    return layer.columns(static_cast<std::int64_t>(tower) * (layer.cols / kTowers), layer.cols / kTowers);
  }

  [[nodiscard]] MatrixView<float> first_common() const {
    return {workspace_.first_common.data(), common_rows(), kTowers * width(0)};
  }
  [[nodiscard]] MatrixView<float> a(std::size_t layer) const { return view(layer, workspace_.layers[layer].a); }
  /// ReLU works in place: whether z was positive shows in a.
  [[nodiscard]] MatrixView<float> z(std::size_t layer) const {
    return is_prelu() ? view(layer, workspace_.layers[layer].z) : a(layer);
  }
  [[nodiscard]] MatrixView<float> dz(std::size_t layer) const { return view(layer, workspace_.layers[layer].dz); }

  template <class T>
  [[nodiscard]] std::span<T> bias(const TowerViews<T>& views, std::size_t layer, std::size_t tower) const {
    return layer == 0 ? of_first(views.first_bias, tower) : views.deeper[tower][layer - 1].bias;
  }
  /// Empty for ReLU and for the logits.
  template <class T>
  [[nodiscard]] std::span<T> slope(const TowerViews<T>& views, std::size_t layer, std::size_t tower) const {
    if (!is_prelu()) return {};
    return layer == 0 ? of_first(views.first_slope, tower) : views.deeper[tower][layer - 1].slope;
  }

  [[nodiscard]] DropoutMask mask(std::size_t layer, std::size_t tower, Rows rows) const {
    return {dropout_.active ? shape_.dropout : 0.0F, dropout_.seed, dropout_.step,
            static_cast<std::uint32_t>(layer * kTowers + tower), rows.begin};
  }

 protected:
  /// Calls function(some of the rows, what is added to their products) in order: the layer's bias, or, in the first
  /// layer, the common half of their user, which has the bias in it.
  template <class Function>
  void for_each_bias(std::size_t layer, std::size_t tower, Rows rows, Function&& function) const {
    if (layer > 0 || !has_common()) return function(rows, bias(parameters_, layer, tower));
    const auto& begin = inputs_.common_begin;
    const auto next = std::upper_bound(begin.begin(), begin.end(), rows.begin);
    auto user = static_cast<std::int64_t>(next - begin.begin()) - 1;
    const std::int64_t last = rows.begin + rows.count;
    for (std::int64_t row = rows.begin; row < last; ++user) {
      const std::int64_t end = std::min<std::int64_t>(last, begin[static_cast<std::size_t>(user) + 1]);
      const float* half = of_tower(first_common(), tower).row(user);
      if (end > row) function(Rows{row, end - row}, std::span(half, static_cast<std::size_t>(width(0))));
      row = std::max(row, end);
    }
  }

  const TowerShape& shape_;
  const TowerViews<const float>& parameters_;
  const TowerInputs& inputs_;
  const Dropout& dropout_;
  TowerWorkspace& workspace_;

 private:
  [[nodiscard]] MatrixView<float> view(std::size_t layer, const Buffer<float>& buffer) const {
    return {buffer.data(), impressions(), kTowers * width(layer)};
  }
  template <class T>
  [[nodiscard]] std::span<T> of_first(std::span<T> both, std::size_t tower) const {
    return part(both, static_cast<std::int64_t>(tower) * width(0), width(0));
  }
};

/// The bias and slope gradients: one row of partial sums per tile, from the logits down to the first layer.
class BackwardPass : public Pass {
 public:
  BackwardPass(const Pass& pass, MatrixView<const float> dlogits, const TowerViews<float>& gradients)
      : Pass(pass), dlogits_(dlogits), gradients_(gradients) {
    workspace_.partial.resize(pieces(impressions(), kTileRows) * partial_width());
  }

  /// Adds the tiles' parts of the bias and slope gradients in order.
  void reduce_partials() const {
    const MatrixView<const float> parts(workspace_.partial.data(), pieces(impressions(), kTileRows), partial_width());
    std::int64_t offset = 0;
    for_each_vector_gradient([&](std::span<float> out) {
      const auto size = static_cast<std::int64_t>(out.size());
      std::fill(out.begin(), out.end(), 0.0F);
      add_column_sums(parts.columns(offset, size), out);
      offset += size;
    });
  }

 protected:
  /// A tile's partial sums, zeroed, handed out in the order of for_each_vector_gradient.
  class Partials {
   public:
    explicit Partials(std::span<float> row) : row_(row) { std::fill(row.begin(), row.end(), 0.0F); }
    std::span<float> take(std::int64_t size) {
      const auto taken = part(row_, 0, size);
      row_ = row_.subspan(taken.size());
      return taken;
    }

   private:
    std::span<float> row_;
  };
  [[nodiscard]] Partials partials(std::int64_t tile) const {
    return Partials(part(workspace_.partial.span(), tile * partial_width(), partial_width()));
  }

  MatrixView<const float> dlogits_;
  const TowerViews<float>& gradients_;

 private:
  template <class Function>
  void for_each_vector_gradient(Function&& function) const {
    for (std::size_t layer = hidden_layers() + 1; layer-- > 0;) {
      for (std::size_t tower = 0; tower < kTowers; ++tower) {
        function(bias(gradients_, layer, tower));
        if (const auto slopes = slope(gradients_, layer, tower); !slopes.empty()) function(slopes);
      }
    }
  }
  [[nodiscard]] std::int64_t partial_width() const {
    std::size_t size = 0;
    for_each_vector_gradient([&](std::span<float> out) { size += out.size(); });
    return static_cast<std::int64_t>(size);
  }
};

}  // namespace esmm::cpu
