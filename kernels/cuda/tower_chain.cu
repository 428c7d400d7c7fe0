#include "kernels/cuda/tower_chain.hpp"

#include "kernels/cuda/tower_sums.hpp"
#include "kernels/cuda/tower_units.cuh"

namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

/// Every thread's item is four units of one tower: where they are.
struct UnitGroup {
  __device__ UnitGroup(std::int64_t item, std::int64_t width) {
    const std::int64_t groups = (width + kGroupUnits - 1) / kGroupUnits;
    const auto index = static_cast<std::uint32_t>(item), both = static_cast<std::uint32_t>(kTowers * groups);
    row = index / both;
    tower = static_cast<int>(index % both / groups);
    group = index % both % groups;
    first = group * kGroupUnits;
    column = tower * width + first;
    count = width - first < kGroupUnits ? width - first : kGroupUnits;
  }
  std::int64_t row;  // impression, or tile of them
  int tower;
  std::int64_t group;   // among the tower's
  std::int64_t first;   // unit of the tower
  std::int64_t column;  // of the layer
  std::int64_t count;   // units that there are, at most 4
};
std::int64_t unit_groups(std::int64_t rows, std::int64_t width) {
  const std::int64_t items = rows * kTowers * pieces(width, kGroupUnits);
  if (items > std::int64_t{0xFFFFFFFF}) throw internal_error("towers: {} rows of {} units are too many", rows, width);
  return items;
}

// ---- forward ----

template <class T>
struct ForwardLayer {
  std::int64_t width;               // units of one tower
  MatrixView<const float> product;  // [B, 2*H] without bias
  MatrixView<const float> common;   // [U, 2*H] the common half of the first layer; without data: none
  const std::uint32_t* user;        // [B] row of `common`; U for padding
  LayerVectors vectors;
  UnitDropout dropout;
  MatrixView<T> z, a;  // [B, 2*H]; z without data for ReLU
  bool vectorised;
};

/// z = product + bias + common half, a = dropout(activation(z)). product may be z, or a for ReLU.
template <class T>
__global__ void forward_units(ForwardLayer<T> layer, std::int64_t items) {
  for (std::int64_t item = grid_thread(); item < items; item += grid_threads()) {
    const UnitGroup at(item, layer.width);
    Units z = load_units(layer.product.row(at.row) + at.column, at.count, layer.vectorised);
    add(z, load_units(layer.vectors.bias[at.tower] + at.first, at.count, false));
    if (layer.common.data != nullptr && layer.user[at.row] < layer.common.rows) {
      add(z, load_units(layer.common.row(layer.user[at.row]) + at.column, at.count, layer.vectorised));
    }
    Units slope{};
    if (layer.z.data != nullptr) {
      store_units(layer.z.row(at.row) + at.column, z, at.count, layer.vectorised);
      slope = load_units(layer.vectors.slope[at.tower] + at.first, at.count, false);
    }
    Units a = activate(z, slope, layer.z.data != nullptr);
    if (layer.dropout.key != nullptr) {
      const Units factors = dropout_factors(layer.dropout, at.row, at.tower, at.group);
      for (int i = 0; i < kGroupUnits; ++i) a.v[i] *= factors.v[i];
    }
    store_units(layer.a.row(at.row) + at.column, a, at.count, layer.vectorised);
  }
}

/// One warp per impression.
template <class T>
__global__ void forward_logits(MatrixView<const T> a, OutputLayer output, MatrixView<float> logits) {
  const std::int64_t lane = threadIdx.x % kWarp, width = a.cols / kTowers;
  for (std::int64_t row = grid_thread() / kWarp; row < logits.rows; row += grid_threads() / kWarp) {
    for (int t = 0; t < kTowers; ++t) {
      float sum = 0.0F;
      for (std::int64_t j = lane; j < width; j += kWarp) {
        sum += to_float(a(row, t * width + j)) * output.weight[t][j * output.weight_step];
      }
      for (int half = kWarp / 2; half > 0; half /= 2) sum += __shfl_xor_sync(kAllLanes, sum, half);
      if (lane == 0) logits(row, t) = sum + output.bias[t][0];
    }
  }
}

// ---- backward ----

template <class T>
struct BackwardLayer {
  std::int64_t width;               // units of one tower
  MatrixView<const float> d;        // [B, 2*H] ∂L/∂a; of the last hidden layer it is dlogits·weight
  MatrixView<const float> dlogits;  // [B, 2] of the last hidden layer
  OutputLayer output;               // of the last hidden layer
  LayerVectors vectors;
  UnitDropout dropout;
  MatrixView<const T> z, a;  // [B, 2*H]; z without data for ReLU
  MatrixView<T> dz;          // [B, 2*H]; may be d
  MatrixView<float> sums;    // [tiles, columns]
  std::int64_t bias_column, slope_column, output_weight_column, output_bias_column;  // of `sums`
  UserSums users;                                                                    // of the first layer
  bool vectorised;
};

/// A thread's sums over the rows of its tile.
struct UnitSums {
  Units bias{}, slope{}, output_weight{}, user{};
  float output_bias = 0.0F;
  std::int64_t current_user = -1;
};

/// The sum over the current user's impressions of this tile is complete.
__device__ inline void flush_user(const UserSums& users, const UnitGroup& at, const UnitSums& sums, bool vectorised) {
  const std::int64_t u = sums.current_user;
  if (u < 0 || u >= users.sum.rows) return;  // none yet, or padding
  const bool begins_here = users.common_begin[u] >= at.row * kTileRows;
  float* out = begins_here ? users.sum.row(u) : users.head + at.row * users.sum.cols;
  store_units(out + at.column, sums.user, at.count, vectorised);
}

/// What is loaded of one row: z (PReLU) or a (ReLU); then ∂L/∂a or, in the last hidden layer, a.
struct RowInput {
  Units input, other;
};
template <class T, bool is_last>
__device__ inline RowInput load_row(const BackwardLayer<T>& layer, const UnitGroup& at, std::int64_t row) {
  const MatrixView<const T>& input = layer.z.data != nullptr ? layer.z : layer.a;
  RowInput in;
  in.input = load_units(input.row(row) + at.column, at.count, layer.vectorised);
  if constexpr (is_last) {
    in.other = load_units(layer.a.row(row) + at.column, at.count, layer.vectorised);
  } else {
    in.other = load_units(layer.d.row(row) + at.column, at.count, layer.vectorised);
  }
  return in;
}

template <class T, bool is_last>
__device__ inline void backward_row(const BackwardLayer<T>& layer, const UnitGroup& at, std::int64_t row,
                                    const RowInput& in, const Units& slope, const Units& output_weight,
                                    UnitSums& sums) {
  Units d = in.other, dz;
  if constexpr (is_last) {
    const float dlogit = layer.dlogits(row, at.tower);
    d = scaled(output_weight, dlogit);
    add_products(sums.output_weight, in.other, dlogit);
    sums.output_bias += dlogit;
  }
  if (layer.z.data != nullptr) {
    Units factors{{1.0F, 1.0F, 1.0F, 1.0F}};
    if (layer.dropout.key != nullptr) factors = dropout_factors(layer.dropout, row, at.tower, at.group);
    dz = prelu_gradient(d, in.input, factors, slope, sums.slope);
  } else {
    dz = relu_gradient(d, in.input, layer.dropout.scale);
  }
  add(sums.bias, dz);
  store_units(layer.dz.row(row) + at.column, dz, at.count, layer.vectorised);
  if (layer.users.user == nullptr) return;
  if (const std::int64_t u = layer.users.user[row]; u != sums.current_user) {
    flush_user(layer.users, at, sums, layer.vectorised);
    sums.current_user = u;
    sums.user = {};
  }
  add(sums.user, dz);
}

constexpr std::int64_t kRowsAhead = 4;  // loaded before the first of them is worked on

/// dz of one layer, and the sums over each tile; one thread per tile and group of units, so that every sum is made by
/// one thread in order of the impressions.
template <class T, bool is_last>
__global__ void backward_units(BackwardLayer<T> layer, std::int64_t items) {
  for (std::int64_t item = grid_thread(); item < items; item += grid_threads()) {
    const UnitGroup at(item, layer.width);
    const std::int64_t begin = at.row * kTileRows;
    const std::int64_t end = begin + kTileRows < layer.dz.rows ? begin + kTileRows : layer.dz.rows;
    const bool is_prelu = layer.z.data != nullptr;
    Units slope{}, output_weight{};
    if (is_prelu) slope = load_units(layer.vectors.slope[at.tower] + at.first, at.count, false);
    for (int i = 0; is_last && i < at.count; ++i) {
      output_weight.v[i] = layer.output.weight[at.tower][(at.first + i) * layer.output.weight_step];
    }
    UnitSums sums;
    for (std::int64_t row = begin; row < end; row += kRowsAhead) {
      RowInput ahead[kRowsAhead];
      for (int i = 0; i < kRowsAhead; ++i) {
        if (row + i < end) ahead[i] = load_row<T, is_last>(layer, at, row + i);
      }
      for (int i = 0; i < kRowsAhead; ++i) {
        if (row + i < end) backward_row<T, is_last>(layer, at, row + i, ahead[i], slope, output_weight, sums);
      }
    }
    if (layer.users.user != nullptr) flush_user(layer.users, at, sums, layer.vectorised);
    float* out = layer.sums.row(at.row);
    store_units(out + layer.bias_column + at.column, sums.bias, at.count, false);
    if (is_prelu) store_units(out + layer.slope_column + at.column, sums.slope, at.count, false);
    if (!is_last) continue;
    store_units(out + layer.output_weight_column + at.column, sums.output_weight, at.count, false);
    if (at.group == 0) out[layer.output_bias_column + at.tower] = sums.output_bias;
  }
}

constexpr unsigned kBackwardBlock = 128;  // threads: small, so that a small batch occupies many multiprocessors

}  // namespace

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
