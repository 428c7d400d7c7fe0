#include "kernels/cuda/tower_fused.hpp"

#include "kernels/cuda/tower_fused_kernels.hpp"
#include "kernels/cuda/tower_tile.cuh"

namespace esmm::ESMM_DEVICE_NAMESPACE {

// ---- packed operands ----

template <class T>
PackedOperands<T>::PackedOperands(const TowerPass& pass) {
  lay_out(pass);  // finds the size
  pass.workspace.converted.resize(pieces(used_ * static_cast<std::int64_t>(sizeof(T)), sizeof(float)));
  base_ = reinterpret_cast<T*>(pass.workspace.converted.data());
  lay_out(pass);
}

template <class T>
void PackedOperands<T>::lay_out(const TowerPass& pass) {
  sources_.clear();
  used_ = 0;
  if constexpr (!std::is_same_v<T, float>) {
    const std::int64_t stride = padded_depth<T>(pass.shape.sample_inputs);
    sample = {base_, pass.impressions(), pass.shape.sample_inputs, stride};
    used_ = pass.impressions() * stride;
  }
  const auto& p = pass.parameters;
  if (pass.has_common()) {
    common = place(p.first_common);
    common_transposed = place(p.first_common, true);
  }
  sample_transposed = place(p.first_sample, true);
  for (std::size_t t = 0; t < kTowers; ++t) {
    into[t] = {place(pass.of_tower(p.first_sample, t))};
    back_from[t].clear();
    for (std::size_t l = 1; l < pass.hidden_layers(); ++l) {
      into[t].push_back(place(pass.weight(p, l, t)));
      back_from[t].push_back(place(pass.weight(p, l, t), true));
    }
  }
}

template <class T>
PackedWeight<T> PackedOperands<T>::place(MatrixView<const float> from, bool transposed) {
  const std::int64_t rows = transposed ? from.cols : from.rows, columns = transposed ? from.rows : from.cols;
  const PackedWeight<T> to{base_ == nullptr ? nullptr : base_ + used_, padded_depth<T>(rows), padded_columns(columns)};
  used_ += to.depth * to.columns;
  sources_.push_back({from, transposed, to});
  return to;
}

template <class T>
void PackedOperands<T>::pack_weights(CommandQueue& queue) const {
  Packing<T> packing;
  for (const Source& s : sources_) {
    packing.add(s.from, {const_cast<T*>(s.to.data), s.to.depth, s.to.columns}, s.transposed);
  }
  packing.enqueue(queue);
}
template class PackedOperands<float>;
template class PackedOperands<__nv_bfloat16>;

// ---- passes ----

namespace {

template <class T>
void forward_pass(CommandQueue& queue, const TowerPass& pass, MatrixView<float> logits) {
  const PackedOperands<T> operands(pass);
  operands.pack_weights(queue);
  if (pass.has_common()) {
    pass.workspace.user.resize(pass.impressions());
    multiply_rows<T>(queue, {{either<T>(pass.inputs.common), operands.common, pass.first_common()}});
  }
  fused_forward<T>(queue, pass, operands, logits);
}

/// All weight gradients but the output layer's: gradient [K, N] = inputᵀ [K, B] · dz [B, N].
template <class T>
std::vector<WeightGradient<T>> all_weight_gradients(const TowerPass& pass, const PackedOperands<T>& operands,
                                                    const TowerViews<float>& gradients) {
  std::vector<WeightGradient<T>> all;
  const auto add = [&](EitherMatrix<T> input, EitherMatrix<T> dz, MatrixView<float> out) {
    WeightGradient<T> gradient;
    gradient.input = input;
    gradient.dz = dz;
    gradient.out = out;
    all.push_back(gradient);
  };
  const auto sample = operands.sample.data == nullptr ? either<T>(pass.inputs.sample) : either<T>(operands.sample);
  add(sample, either<T>(pass.dz<T>(0)), gradients.first_sample);
  for (std::size_t l = 1; l < pass.hidden_layers(); ++l) {
    for (std::size_t t = 0; t < kTowers; ++t) {
      add(either<T>(pass.of_tower(pass.a<T>(l - 1), t)), either<T>(pass.of_tower(pass.dz<T>(l), t)),
          pass.weight(gradients, l, t));
    }
  }
  if (pass.has_common()) {
    add(either<T>(pass.inputs.common), either<T>(pass.first_common()), gradients.first_common);
  }
  return all;
}

template <class T>
void backward_pass(CommandQueue& queue, const TowerPass& pass, const TowerGradients& gradients, Buffer<float>& slices) {
  const PackedOperands<T> operands(pass);
  reserve_partial_sums(pass);
  fused_backward<T>(queue, pass, operands, gradients.dlogits);
  sum_tiles(queue, pass, gradients.parameters);
  join_users(queue, pass);
  std::vector<RowsTimesWeight<T>> inputs;
  inputs.push_back({either<T>(pass.dz<T>(0)), operands.sample_transposed, gradients.dsample});
  if (pass.has_common()) {
    inputs.push_back({either<T>(pass.first_common()), operands.common_transposed, gradients.dcommon});
  }
  multiply_rows<T>(queue, std::move(inputs));
  weight_gradients<T>(queue, all_weight_gradients<T>(pass, operands, gradients.parameters), slices);
}

std::size_t most_shared_bytes() {
  int device = 0, bytes = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "cudaDeviceGetAttribute");
  return static_cast<std::size_t>(bytes);
}

}  // namespace

TowerFused::TowerFused(CommandQueue& queue, DeviceMemory& memory, Precision precision)
    : queue_(queue), precision_(precision), shared_limit_(most_shared_bytes()), slices_(memory, 0) {}

/// Of a block of the pass that needs more.
std::size_t TowerFused::shared_bytes(const TowerShape& shape) const {
  return precision_ == Precision::bf16
             ? std::max(forward_shared_bytes<__nv_bfloat16>(shape), backward_shared_bytes<__nv_bfloat16>(shape))
             : std::max(forward_shared_bytes<float>(shape), backward_shared_bytes<float>(shape));
}

bool TowerFused::fits(const TowerShape& shape) const {
  return shape.hidden.size() <= static_cast<std::size_t>(kMostFusedLayers) && shared_bytes(shape) <= shared_limit_;
}

std::string TowerFused::misfit(const TowerShape& shape) const {
  if (shape.hidden.size() > static_cast<std::size_t>(kMostFusedLayers)) {
    return fmt::format("there are {} hidden layers and the fused kernels take {}", shape.hidden.size(),
                       kMostFusedLayers);
  }
  return fmt::format("a tile needs {} bytes of shared memory and a block of this GPU has {}", shared_bytes(shape),
                     shared_limit_);
}

void TowerFused::forward(const TowerPass& pass, MatrixView<float> logits) {
  pass.workspace.bf16 = precision_ == Precision::bf16;
  if (pass.workspace.bf16) return forward_pass<__nv_bfloat16>(queue_, pass, logits);
  forward_pass<float>(queue_, pass, logits);
}

void TowerFused::backward(const TowerPass& pass, const TowerGradients& gradients) {
  if (pass.workspace.bf16) return backward_pass<__nv_bfloat16>(queue_, pass, gradients, slices_);
  backward_pass<float>(queue_, pass, gradients, slices_);
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
