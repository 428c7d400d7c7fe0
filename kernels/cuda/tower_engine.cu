#include "kernels/cuda/tower_engine.hpp"

#include <chrono>

namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

#if defined(__CUDACC__)
constexpr bool kTimesMeanSomething = true;
#else
constexpr bool kTimesMeanSomething = false;  // the kernels are emulated
#endif

std::string name_of(TowerKernels kernels) {
  return kernels == TowerKernels::fused ? "fused" : "chain";
}

/// Towers of one shape and a batch of zeros, to be timed.
class Trial {
 public:
  Trial(DeviceMemory& memory, const TowerShape& shape, std::int64_t impressions, std::int64_t common_rows)
      : shape_(shape),
        workspace_(memory),
        parameters_(memory, count(shape)),
        gradients_(memory, count(shape)),
        common_(memory, common_rows * memory.row_stride(shape.common_inputs)),
        sample_(memory, impressions * memory.row_stride(shape.sample_inputs)),
        dcommon_(memory, common_.size()),
        dsample_(memory, sample_.size()),
        logits_(memory, impressions * kTowers),
        dlogits_(memory, impressions * kTowers),
        common_begin_(memory, common_rows + 1),
        impressions_(impressions),
        common_rows_(common_rows),
        common_stride_(memory.row_stride(shape.common_inputs)),
        sample_stride_(memory.row_stride(shape.sample_inputs)),
        views_(cut(gradients_)),
        constant_views_(constant(cut(parameters_))) {
    std::vector<std::uint32_t> begin;  // groups of equal size
    for (std::int64_t u = 0; u <= common_rows; ++u) {
      begin.push_back(static_cast<std::uint32_t>(impressions * u / std::max<std::int64_t>(common_rows, 1)));
    }
    common_begin_.copy_from_host(begin);
    workspace_.prepare(shape, impressions, common_rows);
  }

  template <class Kernels>
  void step(Kernels& kernels, const Dropout& dropout) {
    const TowerInputs inputs{{common_.data(), common_rows_, shape_.common_inputs, common_stride_},
                             {sample_.data(), impressions_, shape_.sample_inputs, sample_stride_},
                             common_begin_.span()};
    const TowerPass pass{shape_, constant_views_, inputs, dropout, workspace_};
    kernels.forward(pass, {logits_.data(), impressions_, kTowers});
    kernels.backward(pass, {{dlogits_.data(), impressions_, kTowers},
                            views_,
                            {dcommon_.data(), common_rows_, shape_.common_inputs, common_stride_},
                            {dsample_.data(), impressions_, shape_.sample_inputs, sample_stride_}});
  }

 private:
  static std::int64_t count(const TowerShape& shape) {
    std::int64_t inputs = shape.common_inputs + shape.sample_inputs, total = 0;
    for (const std::int64_t width : shape.hidden) {
      total += width * (inputs + 2);
      inputs = width;
    }
    return kTowers * (total + inputs + 1);
  }
  [[nodiscard]] TowerViews<float> cut(const Buffer<float>& flat) const {
    float* next = flat.data();
    const auto vector = [&](std::int64_t size) {
      next += size;
      return std::span<float>(next - size, static_cast<std::size_t>(size));
    };
    const auto matrix = [&](std::int64_t rows, std::int64_t cols) {
      return MatrixView<float>(vector(rows * cols).data(), rows, cols);
    };
    const std::int64_t slopes = shape_.activation == Activation::prelu ? 1 : 0;
    const std::int64_t width = kTowers * shape_.hidden.front();
    TowerViews<float> views{matrix(shape_.common_inputs, width),
                            matrix(shape_.sample_inputs, width),
                            vector(width),
                            vector(slopes * width),
                            {}};
    for (auto& layers : views.deeper) {
      for (std::size_t l = 0; l < shape_.hidden.size(); ++l) {
        const bool is_output = l + 1 == shape_.hidden.size();
        const std::int64_t outputs = is_output ? 1 : shape_.hidden[l + 1];
        const auto weight = matrix(shape_.hidden[l], outputs);
        const auto bias = vector(outputs);
        layers.push_back({weight, bias, vector(is_output ? 0 : slopes * outputs)});
      }
    }
    return views;
  }
  static TowerViews<const float> constant(const TowerViews<float>& views) {
    TowerViews<const float> result{views.first_common, views.first_sample, views.first_bias, views.first_slope, {}};
    for (std::size_t t = 0; t < kTowers; ++t) {
      for (const auto& layer : views.deeper[t]) result.deeper[t].push_back({layer.weight, layer.bias, layer.slope});
    }
    return result;
  }

  const TowerShape& shape_;
  TowerWorkspace workspace_;
  Buffer<float> parameters_, gradients_, common_, sample_, dcommon_, dsample_, logits_, dlogits_;
  Buffer<std::uint32_t> common_begin_;
  std::int64_t impressions_, common_rows_, common_stride_, sample_stride_;
  TowerViews<float> views_;
  TowerViews<const float> constant_views_;
};

/// Milliseconds of a step, the best of a few rounds.
template <class Step>
double measure(const Stream& stream, const Step& step) {
  constexpr int kRounds = kTimesMeanSomething ? 5 : 1, kSteps = kTimesMeanSomething ? 10 : 1;
  step();  // buffers grow, kernels are loaded
  double best = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    stream.synchronise();
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kSteps; ++i) step();
    stream.synchronise();
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - begin;
    best = std::min(best, time.count() / kSteps);
  }
  return best;
}

}  // namespace

TowerEngine::TowerEngine(CommandQueue& queue, DeviceMemory& memory, const DeviceOptions& options)
    : queue_(queue),
      memory_(memory),
      chosen_(options.towers),
      choice_(name_of(options.towers)),
      chain_(queue, memory, options.precision),
      fused_(queue, memory, options.precision) {}

bool TowerEngine::takes_fused(const TowerShape& shape) const {
  return chosen_ == TowerKernels::fused && fused_.fits(shape);
}

void TowerEngine::forward(const TowerShape& shape, const TowerViews<const float>& parameters, const TowerInputs& inputs,
                          const Dropout& dropout, TowerWorkspace& workspace, MatrixView<float> logits) {
  const TowerPass pass{shape, parameters, inputs, dropout, workspace};
  if (takes_fused(shape)) return fused_.forward(pass, logits);
  chain_.forward(pass, logits);
}

void TowerEngine::backward(const TowerShape& shape, const TowerViews<const float>& parameters,
                           const TowerInputs& inputs, const Dropout& dropout, MatrixView<const float> dlogits,
                           TowerWorkspace& workspace, const TowerViews<float>& gradients, MatrixView<float> dcommon,
                           MatrixView<float> dsample) {
  const TowerPass pass{shape, parameters, inputs, dropout, workspace};
  const TowerGradients results{dlogits, gradients, dcommon, dsample};
  if (takes_fused(shape)) return fused_.backward(pass, results);
  chain_.backward(pass, results);
}

void TowerEngine::calibrate(const TowerShape& shape, std::int64_t impressions, std::int64_t common_rows, bool dropout) {
  if (chosen_ == TowerKernels::fused && !fused_.fits(shape)) {
    chosen_ = TowerKernels::chain;
    choice_ = name_of(chosen_);
    warning_ = fmt::format("--towers fused: {}, so the chain computes these towers. To fuse them, lower --hidden.",
                           fused_.misfit(shape));
  }
  if (chosen_ != TowerKernels::measured) return;
  chosen_ = TowerKernels::chain;
  choice_ = name_of(chosen_);
  if (!fused_.fits(shape)) return;
  Trial trial(memory_, shape, impressions, common_rows);
  const Dropout on{dropout, 1, 1};
  const double chain = measure(queue_.work(), [&] { trial.step(chain_, on); });
  const double fused = measure(queue_.work(), [&] { trial.step(fused_, on); });
  if (!kTimesMeanSomething) return;
  if (fused < chain) chosen_ = TowerKernels::fused;
  choice_ = fused < chain ? fmt::format("fused ({:.3f} ms a step, chain {:.3f} ms)", fused, chain)
                          : fmt::format("chain ({:.3f} ms a step, fused {:.3f} ms)", chain, fused);
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
