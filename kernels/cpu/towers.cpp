#include "kernels/towers.hpp"

#include <algorithm>
#include <array>

#include "kernels/cpu/activation.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/output_layer.hpp"
#include "kernels/cpu/tower_pass.hpp"
#include "kernels/cpu/towers_bf16.hpp"

// The towers in fp32, and the choice between fp32 and bfloat16.
namespace esmm::cpu {

namespace {

constexpr std::int64_t kLine = 16;  // floats in a cache line

void transpose(MatrixView<const float> from, MatrixView<float> to) {
  for (std::int64_t block = 0; block < from.cols; block += kLine) {  // whole cache lines of `to` at a time
    const std::int64_t end = std::min(from.cols, block + kLine);
    for (std::int64_t r = 0; r < from.rows; ++r) {
      for (std::int64_t c = block; c < end; ++c) to(c, r) = from(r, c);
    }
  }
}

class Forward : public Pass {
 public:
  using Pass::Pass;

  void common_tile(Rows rows) const {
    const auto out = slice(first_common(), rows);
    fill_rows(out, parameters_.first_bias);
    gemm(slice(inputs_.common, rows), parameters_.first_common, out, Gemm::accumulate);
  }

  void tile(Rows rows, MatrixView<float> logits) const {
    gemm(slice(inputs_.sample, rows), parameters_.first_sample, slice(z(0), rows), Gemm::overwrite);
    for (std::size_t layer = 0; layer < hidden_layers(); ++layer) {
      for (std::size_t tower = 0; tower < kTowers; ++tower) {
        activate(layer, tower, rows);
        const auto inputs = of_tower(slice(a(layer), rows), tower);
        const auto weight = parameters_.deeper[tower][layer].weight;
        if (layer + 1 < hidden_layers()) {
          gemm(inputs, weight, of_tower(slice(z(layer + 1), rows), tower), Gemm::overwrite);
        } else {
          output_forward(inputs, weight, bias(parameters_, layer + 1, tower)[0], of_tower(slice(logits, rows), tower));
        }
      }
    }
  }

 private:
  void activate(std::size_t layer, std::size_t tower, Rows rows) const {
    for_each_bias(layer, tower, rows, [&](Rows some, std::span<const float> added) {
      const auto out = of_tower(slice(a(layer), some), tower);
      if (is_prelu()) {
        prelu(added, slope(parameters_, layer, tower), of_tower(slice(z(layer), some), tower), out);
      } else {
        relu(added, out);
      }
    });
    const DropoutMask dropped = mask(layer, tower, rows);
    if (dropped.rate > 0.0F) apply_dropout(dropped, of_tower(slice(a(layer), rows), tower));
  }
};

class Backward : public BackwardPass {
 public:
  Backward(const Pass& pass, MatrixView<const float> dlogits, const TowerViews<float>& gradients)
      : BackwardPass(pass, dlogits, gradients) {
    workspace_.transposed.resize(transposed_size());
  }

  /// dgrad multiplies by transposed weights, which the tile kernels need as a copy. Task t of the first layer's halves
  /// copies a few of their columns; the last task copies all deeper layers, which are small.
  [[nodiscard]] std::int64_t transpose_tasks() const { return 2 * first_layer_pieces() + 1; }
  void transpose_task(std::int64_t task) const {
    if (task < 2 * first_layer_pieces()) {
      const bool common = task < first_layer_pieces();
      const auto from = common ? parameters_.first_common : parameters_.first_sample;
      const auto to = common ? transposed_common() : transposed_sample();
      const Rows columns = tile_rows(task % first_layer_pieces(), kTileRows, from.cols);
      return transpose(from.columns(columns.begin, columns.count), slice(to, columns));
    }
    for (std::size_t layer = 1; layer < hidden_layers(); ++layer) {
      for (std::size_t tower = 0; tower < kTowers; ++tower) {
        transpose(parameters_.deeper[tower][layer - 1].weight, transposed_deeper(layer, tower));
      }
    }
  }

  /// dz of every hidden layer, the tile's part of the bias and slope gradients, and dsample.
  void tile(std::int64_t index, Rows rows, MatrixView<float> dsample) const {
    Partials partial = partials(index);
    add_column_sums(slice(dlogits_, rows), partial.take(kTowers));
    for (std::size_t layer = hidden_layers(); layer-- > 0;) {
      for (std::size_t tower = 0; tower < kTowers; ++tower) {
        const auto d = of_tower(slice(dz(layer), rows), tower);
        if (layer + 1 < hidden_layers()) {
          gemm(of_tower(slice(MatrixView<const float>(dz(layer + 1)), rows), tower),
               transposed_deeper(layer + 1, tower), d, Gemm::overwrite);
        } else {
          output_dgrad(of_tower(slice(dlogits_, rows), tower), parameters_.deeper[tower][layer].weight, d);
        }
        const DropoutMask dropped = mask(layer, tower, rows);
        const auto dbias = partial.take(width(layer));
        if (is_prelu()) {
          if (dropped.rate > 0.0F) apply_dropout(dropped, d);
          prelu_backward(of_tower(slice(z(layer), rows), tower), slope(parameters_, layer, tower), d, dbias,
                         partial.take(width(layer)));
        } else {
          relu_backward(of_tower(slice(a(layer), rows), tower), dropped.scale(), d, dbias);
        }
      }
    }
    gemm(slice(MatrixView<const float>(dz(0)), rows), transposed_sample().columns(0, dsample.cols),
         slice(dsample, rows), Gemm::overwrite);
  }

  /// The common half of the first layer receives the sum over each user's impressions.
  void common_tile(Rows rows, MatrixView<float> dcommon) const {
    const auto dfirst = slice(first_common(), rows);
    for (std::int64_t r = 0; r < rows.count; ++r) {
      const auto user = static_cast<std::size_t>(rows.begin + r);
      const std::int64_t begin = inputs_.common_begin[user], end = inputs_.common_begin[user + 1];
      const std::span<float> sums(dfirst.row(r), static_cast<std::size_t>(dfirst.cols));
      std::fill(sums.begin(), sums.end(), 0.0F);
      add_column_sums(slice(dz(0), {begin, end - begin}), sums);
    }
    gemm(dfirst, transposed_common(), slice(dcommon, rows), Gemm::overwrite);
  }

  [[nodiscard]] std::int64_t weight_blocks() const {
    std::int64_t count = kTowers;
    for (std::size_t i = 0; i < weight_count(); ++i) count += blocks_of(weight(i).gradient);
    return count;
  }
  void weight_block(std::int64_t block) const {
    std::size_t i = 0;
    while (i < weight_count() && block >= blocks_of(weight(i).gradient)) block -= blocks_of(weight(i++).gradient);
    if (i == weight_count()) return output_weight(static_cast<std::size_t>(block));
    const Weight w = weight(i);
    const std::int64_t across = pieces(w.gradient.cols, kGradientBlock);
    const Rows k = tile_rows(block / across, kGradientBlock, w.gradient.rows);
    const Rows n = tile_rows(block % across, kGradientBlock, w.gradient.cols);
    const auto out = slice(w.gradient.columns(n.begin, n.count), k);
    for (std::int64_t begin = 0; begin == 0 || begin < w.input.rows; begin += kGradientDepth) {
      const Rows depth{begin, std::min(kGradientDepth, w.input.rows - begin)};
      gemm_transposed_a(slice(w.input.columns(k.begin, k.count), depth), slice(w.dz.columns(n.begin, n.count), depth),
                        out, begin == 0 ? Gemm::overwrite : Gemm::accumulate);
    }
  }

 private:
  void output_weight(std::size_t tower) const {
    const auto out = gradients_.deeper[tower].back().weight;
    fill_rows(out, std::array{0.0F});
    output_wgrad(of_tower(MatrixView<const float>(a(hidden_layers() - 1)), tower), of_tower(dlogits_, tower), out);
  }

  // ---- transposed weights: [first_common, first_sample, deeper...], rows padded to whole cache lines ----
  [[nodiscard]] static std::int64_t padded(std::int64_t cols) { return pieces(cols, kLine) * kLine; }
  [[nodiscard]] std::int64_t first_layer_pieces() const { return pieces(kTowers * width(0), kTileRows); }
  [[nodiscard]] MatrixView<float> transposed(std::int64_t offset, std::int64_t rows, std::int64_t cols) const {
    return {workspace_.transposed.data() + offset, rows, cols, padded(cols)};
  }
  [[nodiscard]] MatrixView<float> transposed_common() const {
    return transposed(0, kTowers * width(0), shape_.common_inputs);
  }
  [[nodiscard]] MatrixView<float> transposed_sample() const {
    return transposed(kTowers * width(0) * padded(shape_.common_inputs), kTowers * width(0), shape_.sample_inputs);
  }
  [[nodiscard]] std::int64_t transposed_deeper_offset(std::size_t layer) const {
    std::int64_t offset = kTowers * width(0) * (padded(shape_.common_inputs) + padded(shape_.sample_inputs));
    for (std::size_t l = 1; l < layer; ++l) offset += kTowers * width(l) * padded(width(l - 1));
    return offset;
  }
  [[nodiscard]] MatrixView<float> transposed_deeper(std::size_t layer, std::size_t tower) const {
    const std::int64_t size = width(layer) * padded(width(layer - 1));
    return transposed(transposed_deeper_offset(layer) + static_cast<std::int64_t>(tower) * size, width(layer),
                      width(layer - 1));
  }
  [[nodiscard]] std::int64_t transposed_size() const { return transposed_deeper_offset(hidden_layers()); }

  // ---- weight gradients: gradient [K, N] = inputᵀ [K, B] · dz [B, N]; then those of the output layer ----
  struct Weight {
    MatrixView<const float> input, dz;
    MatrixView<float> gradient;
  };
  [[nodiscard]] std::size_t weight_count() const { return 2 + kTowers * (hidden_layers() - 1); }
  [[nodiscard]] Weight weight(std::size_t i) const {  // the largest first: they balance the threads
    if (i == 0) return {inputs_.sample, dz(0), gradients_.first_sample};
    if (i == 1) return {inputs_.common, first_common(), gradients_.first_common};
    const std::size_t layer = (i - 2) / kTowers + 1, tower = (i - 2) % kTowers;
    return {of_tower(a(layer - 1), tower), of_tower(dz(layer), tower), gradients_.deeper[tower][layer - 1].weight};
  }
  [[nodiscard]] static std::int64_t blocks_of(MatrixView<float> gradient) {
    return pieces(gradient.rows, kGradientBlock) * pieces(gradient.cols, kGradientBlock);
  }
};

}  // namespace

void CpuBackend::towers_forward(const TowerShape& shape, const TowerViews<const float>& parameters,
                                const TowerInputs& inputs, const Dropout& dropout, TowerWorkspace& workspace,
                                MatrixView<float> logits) {
  workspace.bf16 = precision_ == Precision::bf16;
  if (workspace.bf16) {
    return towers_forward_bf16(pool_, tile_scratch_, Pass(shape, parameters, inputs, dropout, workspace), logits);
  }
  const Forward pass(shape, parameters, inputs, dropout, workspace);
  pool_.for_each_chunk(pieces(pass.common_rows(), kCommonTileRows), [&](std::int64_t tile, int) {
    pass.common_tile(tile_rows(tile, kCommonTileRows, pass.common_rows()));
  });
  pool_.for_each_chunk(pieces(pass.impressions(), kTileRows), [&](std::int64_t tile, int) {
    pass.tile(tile_rows(tile, kTileRows, pass.impressions()), logits);
  });
}

void CpuBackend::towers_backward(const TowerShape& shape, const TowerViews<const float>& parameters,
                                 const TowerInputs& inputs, const Dropout& dropout, MatrixView<const float> dlogits,
                                 TowerWorkspace& workspace, const TowerViews<float>& gradients,
                                 MatrixView<float> dcommon, MatrixView<float> dsample) {
  const Pass shared(shape, parameters, inputs, dropout, workspace);
  if (workspace.bf16) {
    return towers_backward_bf16(pool_, tile_scratch_, shared, dlogits, gradients, dcommon, dsample);
  }
  const Backward pass(shared, dlogits, gradients);
  pool_.for_each_chunk(pass.transpose_tasks(), [&](std::int64_t task, int) { pass.transpose_task(task); });
  pool_.for_each_chunk(pieces(pass.impressions(), kTileRows), [&](std::int64_t tile, int) {
    pass.tile(tile, tile_rows(tile, kTileRows, pass.impressions()), dsample);
  });
  pool_.for_each_chunk(pieces(pass.common_rows(), kCommonTileRows), [&](std::int64_t tile, int) {
    pass.common_tile(tile_rows(tile, kCommonTileRows, pass.common_rows()), dcommon);
  });
  pool_.for_each_chunk(pass.weight_blocks(), [&](std::int64_t block, int) { pass.weight_block(block); });
  pass.reduce_partials();
}

}  // namespace esmm::cpu
