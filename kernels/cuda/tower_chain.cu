#include "kernels/cuda/tower_chain.hpp"

#include "kernels/cuda/tower_chain_units.cuh"

namespace esmm::ESMM_DEVICE_NAMESPACE {

/// One pass with activations of type T. Inputs and weights are read as T, too: in bf16 they are copies.
template <class T>
struct TowerChain::Run {
  static constexpr bool kConverts = !std::is_same_v<T, float>;
  static constexpr std::int64_t kStrideMultiple = 8;  // of copies: rows of 16 bytes

  TowerChain& chain;
  const TowerPass& pass;
  const DropoutKey* key = nullptr;

  /// What the products read.
  MatrixView<const T> common{}, sample{}, first_common{}, first_sample{}, dfirst{};
  std::array<std::vector<MatrixView<const T>>, kTowers> deeper{};

  Run(TowerChain& chain_, const TowerPass& pass_) : chain(chain_), pass(pass_) {
    if (pass.has_dropout()) {
      key = chain.queue_.constant(DropoutKey{pass.dropout.seed, pass.dropout.step});
    }
  }

  // ---- operands ----
  /// Sets the operands to the caller's matrices, or to the places of their copies, which convert() fills.
  void find_operands() {
    if constexpr (kConverts) {
      T* base = nullptr;
      for (int round = 0; round < 2; ++round) {  // the first finds the size
        std::int64_t used = 0;
        const auto place = [&](std::int64_t rows, std::int64_t cols) {
          const std::int64_t stride = round_up(cols, kStrideMultiple), begin = used;
          used += rows * stride;
          return MatrixView<T>(base == nullptr ? nullptr : base + begin, rows, cols, stride);
        };
        set_operands([&](MatrixView<const float> from) { return place(from.rows, from.cols); });
        dfirst = place(pass.common_rows(), kTowers * pass.width(0));
        pass.workspace.converted.resize(pieces(used, 2));
        base = reinterpret_cast<T*>(pass.workspace.converted.data());
      }
    } else {
      set_operands([](MatrixView<const float> from) { return from; });
      dfirst = pass.first_common();
    }
  }
  template <class Place>
  void set_operands(const Place& place) {
    const auto& p = pass.parameters;
    if (pass.has_common()) {
      common = place(pass.inputs.common);
      first_common = place(p.first_common);
    }
    sample = place(pass.inputs.sample);
    first_sample = place(p.first_sample);
    for (std::size_t t = 0; t < kTowers; ++t) {
      deeper[t].clear();
      for (std::size_t l = 1; l < pass.hidden_layers(); ++l) {
        deeper[t].push_back(place(pass.weight(p, l, t)));
      }
    }
  }
  void convert() const {
    if constexpr (kConverts) {
      Packing<T> packing;
      const auto add = [&](MatrixView<const float> from, MatrixView<const T> to) {
        packing.add(from, {const_cast<T*>(to.data), to.rows, to.cols, to.stride});
      };
      const auto& p = pass.parameters;
      if (pass.has_common()) {
        add(pass.inputs.common, common);
        add(p.first_common, first_common);
      }
      add(pass.inputs.sample, sample);
      add(p.first_sample, first_sample);
      for (std::size_t t = 0; t < kTowers; ++t) {
        for (std::size_t l = 1; l < pass.hidden_layers(); ++l) add(pass.weight(p, l, t), deeper[t][l - 1]);
      }
      packing.enqueue(chain.queue_);
    }
  }

  /// Where a product of one layer's shape goes: where its kernel of units leaves its result, or to bf16's own scratch.
  [[nodiscard]] MatrixView<float> product(std::size_t layer, MatrixView<T> result) const {
    if constexpr (kConverts)
      return {chain.products_.data(), pass.impressions(), kTowers * pass.width(layer)};
    else
      return result;
  }
  void reserve_products() const {
    if constexpr (kConverts) {
      const std::int64_t widest = *std::max_element(pass.shape.hidden.begin(), pass.shape.hidden.end());
      chain.products_.resize(pass.impressions() * kTowers * widest);
    }
  }
  [[nodiscard]] bool vectorised(std::size_t layer) const { return pass.width(layer) % kGroupUnits == 0; }

  template <class Make>
  void multiply_towers(const Make& make) const {
    chain.blas_.multiply(ProductPair<T>{make(std::size_t{0}), make(std::size_t{1})});
  }

  // ---- forward ----
  [[nodiscard]] MatrixView<float> forward_product(std::size_t layer) const {
    return product(layer, pass.is_prelu() ? pass.z<T>(layer) : pass.a<T>(layer));
  }
  void forward(MatrixView<float> logits) {
    find_operands();
    reserve_products();
    convert();
    find_users(chain.queue_, pass);
    if (pass.has_common()) chain.blas_.multiply(Product<T>{common, first_common, pass.first_common()});
    chain.blas_.multiply(Product<T>{sample, first_sample, forward_product(0)});
    forward_layer(0);
    for (std::size_t l = 1; l < pass.hidden_layers(); ++l) {
      multiply_towers([&](std::size_t t) {
        return Product<T>{pass.of_tower(pass.a<T>(l - 1), t), deeper[t][l - 1], pass.of_tower(forward_product(l), t)};
      });
      forward_layer(l);
    }
    chain.queue_.template launch<forward_logits<T>>(thread_per_item(pass.impressions() * kWarp),
                                                    MatrixView<const T>(pass.a<T>(pass.hidden_layers() - 1)),
                                                    output_layer(pass), logits);
  }
  void forward_layer(std::size_t l) const {
    const bool adds_common = l == 0 && pass.has_common();
    const ForwardLayer<T> layer{
        .width = pass.width(l),
        .product = forward_product(l),
        .common = adds_common ? pass.first_common() : MatrixView<float>(),
        .user = pass.workspace.user.data(),
        .vectors = layer_vectors(pass, l),
        .dropout = unit_dropout(pass, key, l),
        .z = pass.z<T>(l),
        .a = pass.a<T>(l),
        .vectorised = vectorised(l),
    };
    const std::int64_t items = unit_groups(pass.impressions(), pass.width(l));
    chain.queue_.template launch<forward_units<T>>(thread_per_item(items), layer, items);
  }

  // ---- backward ----
  void backward(const TowerGradients& gradients) {
    find_operands();
    reserve_products();
    reserve_partial_sums(pass);
    for (std::size_t l = pass.hidden_layers(); l-- > 0;) {
      if (l + 1 < pass.hidden_layers()) {
        multiply_towers([&](std::size_t t) {
          return Product<T>{pass.of_tower(pass.dz<T>(l + 1), t), deeper[t][l],
                            pass.of_tower(product(l, pass.dz<T>(l)), t), Transposed::b};
        });
      }
      backward_layer(l, gradients.dlogits);
      if (l == 0) break;
      multiply_towers([&](std::size_t t) {
        return Product<T>{pass.of_tower(pass.a<T>(l - 1), t), pass.of_tower(pass.dz<T>(l), t),
                          pass.weight(gradients.parameters, l, t), Transposed::a};
      });
    }
    sum_tiles(chain.queue_, pass, gradients.parameters);
    Blas& blas = chain.blas_;
    blas.multiply(Product<T>{sample, pass.dz<T>(0), gradients.parameters.first_sample, Transposed::a});
    blas.multiply(
        Product<T>{pass.dz<T>(0), first_sample.top(gradients.dsample.cols), gradients.dsample, Transposed::b});
    if (!pass.has_common()) return;
    join_users(chain.queue_, pass);
    if constexpr (kConverts) {
      Packing<T> packing;
      packing.add(pass.first_common(), {const_cast<T*>(dfirst.data), dfirst.rows, dfirst.cols, dfirst.stride});
      packing.enqueue(chain.queue_);
    }
    blas.multiply(Product<T>{common, dfirst, gradients.parameters.first_common, Transposed::a});
    blas.multiply(Product<T>{dfirst, first_common, gradients.dcommon, Transposed::b});
  }
  void backward_layer(std::size_t l, MatrixView<const float> dlogits) const {
    const VectorColumns columns(pass);
    const bool is_last = l + 1 == pass.hidden_layers();
    const BackwardLayer<T> layer{
        .width = pass.width(l),
        .d = is_last ? MatrixView<float>() : product(l, pass.dz<T>(l)),
        .dlogits = dlogits,
        .output = output_layer(pass),
        .vectors = layer_vectors(pass, l),
        .dropout = unit_dropout(pass, key, l),
        .z = pass.z<T>(l),
        .a = pass.a<T>(l),
        .dz = pass.dz<T>(l),
        .sums = vector_sums(pass),
        .bias_column = columns.bias(l),
        .slope_column = columns.slope(l),
        .output_weight_column = columns.output_weight(),
        .output_bias_column = columns.output_bias(),
        .users = l == 0 ? user_sums(pass) : UserSums{},
        .vectorised = vectorised(l),
    };
    const std::int64_t items = unit_groups(pass.tiles(), pass.width(l));
    const Geometry geometry = thread_per_item(items, kBackwardBlock);
    if (is_last) {
      chain.queue_.template launch<backward_units<T, true>>(geometry, layer, items);
    } else {
      chain.queue_.template launch<backward_units<T, false>>(geometry, layer, items);
    }
  }
};

TowerChain::TowerChain(CommandQueue& queue, DeviceMemory& memory, Precision precision)
    : queue_(queue), precision_(precision), blas_(queue, memory), products_(memory, 0) {}

void TowerChain::forward(const TowerPass& pass, MatrixView<float> logits) {
  pass.workspace.bf16 = precision_ == Precision::bf16;
  if (pass.workspace.bf16) return Run<__nv_bfloat16>(*this, pass).forward(logits);
  Run<float>(*this, pass).forward(logits);
}
void TowerChain::backward(const TowerPass& pass, const TowerGradients& gradients) {
  if (pass.workspace.bf16) return Run<__nv_bfloat16>(*this, pass).backward(gradients);
  Run<float>(*this, pass).backward(gradients);
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
