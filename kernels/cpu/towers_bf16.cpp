#include "kernels/cpu/towers_bf16.hpp"

#include <array>
#include <utility>

#include "kernels/cpu/bf16.hpp"
#include "kernels/cpu/output_layer.hpp"

namespace esmm::cpu {

namespace {

constexpr std::int64_t kLine = 16;        // pairs in a cache line
constexpr std::int64_t kWideBlock = 208;  // of a weight gradient: pairs up each value less often, and feeds two threads

/// fp32 tiles of one thread, each as wide as the widest layer.
class Tiles {
 public:
  Tiles(const Pass& pass, Buffer<float>& scratch) : scratch_(scratch) {
    for (std::size_t layer = 0; layer < pass.hidden_layers(); ++layer) {
      widest_ = std::max(widest_, kTowers * pass.width(layer));
    }
  }
  void prepare(int threads) { scratch_.resize(threads * kTilesPerThread * kTileRows * widest_); }
  [[nodiscard]] MatrixView<float> tile(int thread, int index, std::int64_t rows, std::int64_t cols) const {
    return {scratch_.data() + (thread * kTilesPerThread + index) * kTileRows * widest_, rows, cols};
  }

 private:
  static constexpr int kTilesPerThread = 3;
  Buffer<float>& scratch_;
  std::int64_t widest_ = 0;
};

/// The weights of all layers but the last, as the products want them: rows in pairs, padded to whole cache lines, or
/// the same of their transposes. Matrix 0: first_common, 1: first_sample, then layer by layer and tower by tower.
class PairedWeights {
 public:
  PairedWeights(const TowerShape& shape, bool transposed) : shape_(shape), transposed_(transposed) {}
  void set(float* data) { data_ = reinterpret_cast<Bf16Pair*>(data); }

  [[nodiscard]] std::size_t count() const { return 2 + kTowers * (shape_.hidden.size() - 1); }
  [[nodiscard]] std::int64_t size() const { return offset(count()); }
  [[nodiscard]] MatrixView<Bf16Pair> matrix(std::size_t i) const {
    const auto [rows, cols] = pairs_of(i);
    return {data_ + offset(i), rows, cols, padded(cols)};
  }
  [[nodiscard]] MatrixView<Bf16Pair> deeper(std::size_t layer, std::size_t tower) const {
    return matrix(2 + kTowers * (layer - 1) + tower);
  }
  void convert(std::size_t i, const TowerViews<const float>& parameters) const {
    const auto from = i == 0   ? parameters.first_common
                      : i == 1 ? parameters.first_sample
                               : parameters.deeper[i % kTowers][(i - 2) / kTowers].weight;
    transposed_ ? pair_columns(from, matrix(i)) : pair_rows(from, matrix(i));
  }

 private:
  [[nodiscard]] static std::int64_t padded(std::int64_t cols) { return pieces(cols, kLine) * kLine; }
  /// Rows of pairs and columns of matrix i.
  [[nodiscard]] std::array<std::int64_t, 2> pairs_of(std::size_t i) const {
    const std::size_t layer = i < 2 ? 0 : (i - 2) / kTowers + 1;
    const std::int64_t inputs = i == 0   ? shape_.common_inputs
                                : i == 1 ? shape_.sample_inputs
                                         : shape_.hidden[layer - 1];
    const std::int64_t outputs = layer == 0 ? kTowers * shape_.hidden[0] : shape_.hidden[layer];
    return transposed_ ? std::array{pieces(outputs, 2), inputs} : std::array{pieces(inputs, 2), outputs};
  }
  [[nodiscard]] std::int64_t offset(std::size_t matrix) const {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < matrix; ++i) sum += pairs_of(i)[0] * padded(pairs_of(i)[1]);
    return sum;
  }

  const TowerShape& shape_;
  bool transposed_;
  Bf16Pair* data_ = nullptr;
};

/// The matrices of bfloat16 that forward leaves for backward.
class Kept {
 public:
  Kept(const Pass& pass, const TowerShape& shape, TowerWorkspace& workspace)
      : pass_(pass), shape_(shape), workspace_(workspace) {}

  [[nodiscard]] MatrixView<Bf16> common() const { return in_converted(0, pass_.common_rows(), shape_.common_inputs); }
  [[nodiscard]] MatrixView<Bf16> dfirst_common() const {
    return in_converted(floats(common()), pass_.common_rows(), kTowers * pass_.width(0));
  }
  [[nodiscard]] MatrixView<Bf16> sample() const {
    return in_converted(floats(common()) + floats(dfirst_common()), pass_.impressions(), shape_.sample_inputs);
  }
  /// Floats that these take at the front of TowerWorkspace::converted.
  [[nodiscard]] std::int64_t size() const { return floats(common()) + floats(dfirst_common()) + floats(sample()); }

  [[nodiscard]] MatrixView<Bf16> a(std::size_t layer) const { return view(layer, workspace_.layers[layer].a); }
  [[nodiscard]] MatrixView<Bf16> z(std::size_t layer) const { return view(layer, workspace_.layers[layer].z); }
  [[nodiscard]] MatrixView<Bf16> dz(std::size_t layer) const { return view(layer, workspace_.layers[layer].dz); }

 private:
  [[nodiscard]] static std::int64_t floats(MatrixView<Bf16> view) {
    return pieces(view.rows * view.cols, 2 * kLine) * kLine;
  }
  [[nodiscard]] MatrixView<Bf16> in_converted(std::int64_t offset, std::int64_t rows, std::int64_t cols) const {
    return {reinterpret_cast<Bf16*>(workspace_.converted.data()) + 2 * offset, rows, cols};
  }
  [[nodiscard]] MatrixView<Bf16> view(std::size_t layer, const Buffer<float>& buffer) const {
    return {reinterpret_cast<Bf16*>(buffer.data()), pass_.impressions(), kTowers * pass_.width(layer)};
  }

  const Pass& pass_;
  const TowerShape& shape_;
  TowerWorkspace& workspace_;
};

class Bf16Forward : public Pass {
 public:
  Bf16Forward(const Pass& pass, Buffer<float>& scratch, int threads)
      : Pass(pass), tiles_(pass, scratch), kept_(*this, shape_, workspace_), weights_(shape_, false) {
    tiles_.prepare(threads);
    workspace_.converted.resize(kept_.size() + weights_.size());
    weights_.set(workspace_.converted.data() + kept_.size());
  }
  Bf16Forward(const Bf16Forward&) = delete;
  Bf16Forward& operator=(const Bf16Forward&) = delete;

  [[nodiscard]] std::int64_t weight_tasks() const { return static_cast<std::int64_t>(weights_.count()); }
  void weight_task(std::int64_t task) const { weights_.convert(static_cast<std::size_t>(task), parameters_); }

  void common_tile(Rows rows) const {
    const auto out = slice(first_common(), rows);
    round_to_bf16(slice(inputs_.common, rows), slice(kept_.common(), rows));
    fill_rows(out, parameters_.first_bias);
    gemm_bf16(slice(kept_.common(), rows), weights_.matrix(0), out, Gemm::accumulate);
  }

  void tile(Rows rows, int thread, MatrixView<float> logits) const {
    const auto tile = [&](int index, std::size_t layer) {
      return tiles_.tile(thread, index, rows.count, kTowers * width(layer));
    };
    round_to_bf16(slice(inputs_.sample, rows), slice(kept_.sample(), rows));
    gemm_bf16(slice(kept_.sample(), rows), weights_.matrix(1), tile(0, 0), Gemm::overwrite);
    for (std::size_t layer = 0; layer < hidden_layers(); ++layer) {
      const int current = static_cast<int>(layer % 2);
      for (std::size_t tower = 0; tower < kTowers; ++tower) {
        const auto inputs = activate(layer, tower, rows, tile(current, layer), tile(2, layer));
        if (layer + 1 < hidden_layers()) {
          gemm_bf16(of_tower(slice(kept_.a(layer), rows), tower), weights_.deeper(layer + 1, tower),
                    of_tower(tile(1 - current, layer + 1), tower), Gemm::overwrite);
        } else {
          output_forward(inputs, parameters_.deeper[tower][layer].weight, bias(parameters_, layer + 1, tower)[0],
                         of_tower(slice(logits, rows), tower));
        }
      }
    }
  }

 private:
  /// Keeps z and a; returns a before it is rounded, which lies in one of the two tiles.
  MatrixView<float> activate(std::size_t layer, std::size_t tower, Rows rows, MatrixView<float> z_tile,
                             MatrixView<float> other) const {
    const auto z = of_tower(z_tile, tower), out = is_prelu() ? of_tower(other, tower) : z;
    for_each_bias(layer, tower, rows, [&](Rows some, std::span<const float> added) {
      const Rows within{some.begin - rows.begin, some.count};
      if (is_prelu()) {
        prelu(added, slope(parameters_, layer, tower), slice(z, within), slice(out, within));
      } else {
        relu(added, slice(out, within));
      }
    });
    if (is_prelu()) round_to_bf16(z, of_tower(slice(kept_.z(layer), rows), tower));
    const DropoutMask dropped = mask(layer, tower, rows);
    if (dropped.rate > 0.0F) apply_dropout(dropped, out);
    round_to_bf16(out, of_tower(slice(kept_.a(layer), rows), tower));
    return out;
  }

  Tiles tiles_;
  Kept kept_;
  PairedWeights weights_;
};

class Bf16Backward : public BackwardPass {
 public:
  Bf16Backward(const Pass& pass, Buffer<float>& scratch, int threads, MatrixView<const float> dlogits,
               const TowerViews<float>& gradients)
      : BackwardPass(pass, dlogits, gradients),
        block_(threads <= 2 ? kWideBlock : kGradientBlock),
        tiles_(pass, scratch),
        kept_(*this, shape_, workspace_),
        transposed_(shape_, true) {
    workspace_.transposed.resize(transposed_.size());
    transposed_.set(workspace_.transposed.data());
  }
  Bf16Backward(const Bf16Backward&) = delete;
  Bf16Backward& operator=(const Bf16Backward&) = delete;

  [[nodiscard]] std::int64_t weight_tasks() const { return static_cast<std::int64_t>(transposed_.count()); }
  void weight_task(std::int64_t task) const { transposed_.convert(static_cast<std::size_t>(task), parameters_); }

  /// dz of every hidden layer, the tile's part of the bias and slope gradients, and dsample.
  void tile(std::int64_t index, Rows rows, int thread, MatrixView<float> dsample) const {
    const auto tile = [&](int i, std::size_t layer) {
      return tiles_.tile(thread, i, rows.count, kTowers * width(layer));
    };
    Partials partial = partials(index);
    add_column_sums(slice(dlogits_, rows), partial.take(kTowers));
    for (std::size_t layer = hidden_layers(); layer-- > 0;) {
      const int current = static_cast<int>(layer % 2);
      for (std::size_t tower = 0; tower < kTowers; ++tower) {
        const auto d = of_tower(tile(current, layer), tower);
        const auto kept = of_tower(tile(2, layer), tower);
        if (layer + 1 == hidden_layers()) {
          output_dgrad(of_tower(slice(dlogits_, rows), tower), parameters_.deeper[tower].back().weight, d);
        } else {
          gemm_bf16(of_tower(slice(kept_.dz(layer + 1), rows), tower), transposed_.deeper(layer + 1, tower), d,
                    Gemm::overwrite);
        }
        const DropoutMask dropped = mask(layer, tower, rows);
        const auto dbias = partial.take(width(layer));
        widen_to_float(of_tower(slice(is_prelu() ? kept_.z(layer) : kept_.a(layer), rows), tower), kept);
        if (is_prelu()) {
          if (dropped.rate > 0.0F) apply_dropout(dropped, d);
          prelu_backward(kept, slope(parameters_, layer, tower), d, dbias, partial.take(width(layer)));
        } else {
          relu_backward(kept, dropped.scale(), d, dbias);
        }
        round_to_bf16(d, of_tower(slice(kept_.dz(layer), rows), tower));
      }
    }
    gemm_bf16(slice(kept_.dz(0), rows), transposed_.matrix(1).columns(0, dsample.cols), slice(dsample, rows),
              Gemm::overwrite);
  }

  /// The common half of the first layer receives the sum over each user's impressions.
  void common_tile(Rows rows, int thread, MatrixView<float> dcommon) const {
    const auto dfirst = slice(first_common(), rows);
    for (std::int64_t r = 0; r < rows.count; ++r) {
      const auto user = static_cast<std::size_t>(rows.begin + r);
      const std::span<float> sums(dfirst.row(r), static_cast<std::size_t>(dfirst.cols));
      std::fill(sums.begin(), sums.end(), 0.0F);
      const std::int64_t end = inputs_.common_begin[user + 1];
      for (std::int64_t begin = inputs_.common_begin[user]; begin < end; begin += kTileRows) {
        const Rows some{begin, std::min(kTileRows, end - begin)};
        const auto dz = tiles_.tile(thread, 0, some.count, dfirst.cols);
        widen_to_float(slice(kept_.dz(0), some), dz);
        add_column_sums(dz, sums);
      }
    }
    round_to_bf16(dfirst, slice(kept_.dfirst_common(), rows));
    gemm_bf16(slice(kept_.dfirst_common(), rows), transposed_.matrix(0), slice(dcommon, rows), Gemm::overwrite);
  }

  // ---- weight gradients: gradient [K, N] = inputᵀ [K, B] · dz [B, N]; then those of the output layer ----
  [[nodiscard]] std::int64_t weight_blocks() const {
    std::int64_t count = kTowers;
    for (std::size_t i = 0; i < transposed_.count(); ++i) count += blocks_of(weight(i).gradient);
    return count;
  }
  void weight_block(std::int64_t block, int thread) const {
    std::size_t i = 0;
    while (i < transposed_.count() && block >= blocks_of(weight(i).gradient)) block -= blocks_of(weight(i++).gradient);
    if (i == transposed_.count()) return output_weight(static_cast<std::size_t>(block), thread);
    const Weight w = weight(i);
    const std::int64_t across = pieces(w.gradient.cols, block_);
    const Rows k = tile_rows(block / across, block_, w.gradient.rows);
    const Rows n = tile_rows(block % across, block_, w.gradient.cols);
    const auto out = slice(w.gradient.columns(n.begin, n.count), k);
    std::array<Bf16Pair, kGradientDepth / 2 * kWideBlock> inputs, dz;
    for (std::int64_t begin = 0; begin == 0 || begin < w.input.rows; begin += kGradientDepth) {
      const Rows depth{begin, std::min(kGradientDepth, w.input.rows - begin)};
      const MatrixView<Bf16Pair> a(inputs.data(), pieces(depth.count, 2), k.count);
      const MatrixView<Bf16Pair> b(dz.data(), pieces(depth.count, 2), n.count);
      pair_rows(slice(w.input.columns(k.begin, k.count), depth), a);
      pair_rows(slice(w.dz.columns(n.begin, n.count), depth), b);
      gemm_bf16_transposed_a(a, b, out, begin == 0 ? Gemm::overwrite : Gemm::accumulate);
    }
  }

 private:
  void output_weight(std::size_t tower, int thread) const {
    const std::size_t last = hidden_layers() - 1;
    const auto out = gradients_.deeper[tower].back().weight;
    fill_rows(out, std::array{0.0F});
    for (std::int64_t begin = 0; begin < impressions(); begin += kTileRows) {
      const Rows rows{begin, std::min(kTileRows, impressions() - begin)};
      const auto inputs = tiles_.tile(thread, 0, rows.count, width(last));
      widen_to_float(of_tower(slice(kept_.a(last), rows), tower), inputs);
      output_wgrad(inputs, of_tower(slice(dlogits_, rows), tower), out);
    }
  }

  struct Weight {
    MatrixView<const Bf16> input, dz;
    MatrixView<float> gradient;
  };
  [[nodiscard]] Weight weight(std::size_t i) const {  // in the order of PairedWeights, the largest first
    if (i == 0) return {kept_.sample(), kept_.dz(0), gradients_.first_sample};
    if (i == 1) return {kept_.common(), kept_.dfirst_common(), gradients_.first_common};
    const std::size_t layer = (i - 2) / kTowers + 1, tower = i % kTowers;
    return {of_tower(kept_.a(layer - 1), tower), of_tower(kept_.dz(layer), tower),
            gradients_.deeper[tower][layer - 1].weight};
  }
  [[nodiscard]] std::int64_t blocks_of(MatrixView<float> gradient) const {
    return pieces(gradient.rows, block_) * pieces(gradient.cols, block_);
  }

  std::int64_t block_;  // rows and columns; an element's sum does not depend on the block that it is in
  Tiles tiles_;
  Kept kept_;
  PairedWeights transposed_;
};

}  // namespace

void towers_forward_bf16(ThreadPool& pool, Buffer<float>& scratch, const Pass& shared, MatrixView<float> logits) {
  const Bf16Forward pass(shared, scratch, pool.threads());
  pool.for_each_chunk(pass.weight_tasks(), [&](std::int64_t task, int) { pass.weight_task(task); });
  pool.for_each_chunk(pieces(pass.common_rows(), kCommonTileRows), [&](std::int64_t tile, int) {
    pass.common_tile(tile_rows(tile, kCommonTileRows, pass.common_rows()));
  });
  pool.for_each_chunk(pieces(pass.impressions(), kTileRows), [&](std::int64_t tile, int thread) {
    pass.tile(tile_rows(tile, kTileRows, pass.impressions()), thread, logits);
  });
}

void towers_backward_bf16(ThreadPool& pool, Buffer<float>& scratch, const Pass& shared, MatrixView<const float> dlogits,
                          const TowerViews<float>& gradients, MatrixView<float> dcommon, MatrixView<float> dsample) {
  const Bf16Backward pass(shared, scratch, pool.threads(), dlogits, gradients);
  pool.for_each_chunk(pass.weight_tasks(), [&](std::int64_t task, int) { pass.weight_task(task); });
  pool.for_each_chunk(pieces(pass.impressions(), kTileRows), [&](std::int64_t tile, int thread) {
    pass.tile(tile, tile_rows(tile, kTileRows, pass.impressions()), thread, dsample);
  });
  pool.for_each_chunk(pieces(pass.common_rows(), kCommonTileRows), [&](std::int64_t tile, int thread) {
    pass.common_tile(tile_rows(tile, kCommonTileRows, pass.common_rows()), thread, dcommon);
  });
  pool.for_each_chunk(pass.weight_blocks(), [&](std::int64_t block, int thread) { pass.weight_block(block, thread); });
  pass.reduce_partials();
}

}  // namespace esmm::cpu
