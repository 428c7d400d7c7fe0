#include "tests/support/tower_net.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include "kernels/cpu/cpu_backend.hpp"
#include "tests/reference/towers.hpp"
#include "tests/support/on_backend.hpp"

namespace esmm::test {

namespace {

constexpr std::int64_t kPadding = 3;  // elements behind each row of inputs and outputs

std::size_t index(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

std::vector<float> random_values(std::int64_t count, float low, float high, std::mt19937& random) {
  std::uniform_real_distribution<float> value(low, high);
  std::vector<float> values(index(count));
  for (float& v : values) v = value(random);
  return values;
}

/// A matrix in a backend's memory whose rows are followed by NaNs.
class PaddedMatrix {
 public:
  PaddedMatrix(Backend& backend, std::int64_t rows, std::int64_t cols)
      : matrix_(backend, rows, cols, cols + kPadding, std::vector<float>(index(rows * (cols + kPadding)), kNan)) {}
  [[nodiscard]] MatrixView<float> view() const { return matrix_.view(); }

  void load(const std::vector<float>& dense) {
    std::vector<float> values(index(matrix_.rows * matrix_.stride), kNan);
    for (std::int64_t r = 0; r < matrix_.rows; ++r) {
      std::copy_n(dense.data() + r * matrix_.cols, matrix_.cols, values.data() + r * matrix_.stride);
    }
    matrix_.buffer.copy_from_host(values);
  }

  /// The values without padding, which must be untouched.
  [[nodiscard]] std::vector<float> dense() const {
    const std::vector<float> values = download(matrix_.buffer);
    std::vector<float> result;
    for (std::int64_t r = 0; r < matrix_.rows; ++r) {
      const float* row = values.data() + r * matrix_.stride;
      result.insert(result.end(), row, row + matrix_.cols);
      for (std::int64_t c = matrix_.cols; c < matrix_.stride; ++c) EXPECT_TRUE(std::isnan(row[c])) << "padding written";
    }
    return result;
  }

 private:
  static constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

  BackendMatrix matrix_;
};

template <class T>
class Cutter {
 public:
  explicit Cutter(std::span<T> flat) : flat_(flat) {}
  std::span<T> vector(std::int64_t size) {
    const auto result = flat_.subspan(used_, index(size));
    used_ += index(size);
    return result;
  }
  MatrixView<T> matrix(std::int64_t rows, std::int64_t cols) { return {vector(rows * cols).data(), rows, cols}; }

 private:
  std::span<T> flat_;
  std::size_t used_ = 0;
};

}  // namespace

std::int64_t parameter_count(const TowerShape& shape) {
  const std::int64_t per_unit = shape.activation == Activation::prelu ? 2 : 1;
  std::int64_t inputs = shape.common_inputs + shape.sample_inputs, count = 0;
  for (const std::int64_t width : shape.hidden) {
    count += width * (inputs + per_unit);
    inputs = width;
  }
  return kTowers * (count + inputs + 1);
}

template <class T>
TowerViews<T> tower_views(const TowerShape& shape, std::span<T> flat) {
  const std::int64_t slopes = shape.activation == Activation::prelu ? 1 : 0;
  const std::int64_t width = kTowers * shape.hidden.front();
  Cutter<T> cut(flat);
  TowerViews<T> views;
  views.first_common = cut.matrix(shape.common_inputs, width);
  views.first_sample = cut.matrix(shape.sample_inputs, width);
  views.first_bias = cut.vector(width);
  views.first_slope = cut.vector(slopes * width);
  for (auto& layers : views.deeper) {
    for (std::size_t l = 0; l < shape.hidden.size(); ++l) {
      const bool is_output = l + 1 == shape.hidden.size();
      const std::int64_t outputs = is_output ? 1 : shape.hidden[l + 1];
      const auto weight = cut.matrix(shape.hidden[l], outputs);
      const auto bias = cut.vector(outputs);
      layers.push_back({weight, bias, cut.vector(is_output ? 0 : slopes * outputs)});
    }
  }
  return views;
}
template TowerViews<float> tower_views(const TowerShape&, std::span<float>);
template TowerViews<const float> tower_views(const TowerShape&, std::span<const float>);
template TowerViews<double> tower_views(const TowerShape&, std::span<double>);

TowerNet::TowerNet(TowerShape shape_, const std::vector<std::uint32_t>& group_sizes, unsigned seed)
    : shape(std::move(shape_)),
      impressions(std::accumulate(group_sizes.begin(), group_sizes.end(), std::int64_t{0})),
      common_rows(shape.common_inputs == 0 ? 0 : static_cast<std::int64_t>(group_sizes.size())),
      common_begin(1, 0) {
  for (const std::uint32_t size : group_sizes) common_begin.push_back(common_begin.back() + size);
  std::mt19937 random(seed);
  parameters = random_values(parameter_count(shape), -0.6F, 0.6F, random);  // slopes must stay within [-1, 1]
  common = random_values(common_rows * shape.common_inputs, -1.0F, 1.0F, random);
  sample = random_values(impressions * shape.sample_inputs, -1.0F, 1.0F, random);
  dlogits = random_values(impressions * kTowers, -1.0F, 1.0F, random);
}

namespace {

/// A layer's activations, which a backend may keep as bfloat16.
std::vector<float> download_layer(const TowerWorkspace& workspace, const Buffer<float>& buffer, std::int64_t size) {
  std::vector<float> values = download(buffer);
  if (workspace.bf16) {
    std::vector<std::uint16_t> bits(index(size));
    if (size > 0) std::memcpy(bits.data(), values.data(), bits.size() * sizeof(bits[0]));
    for (std::size_t i = 0; i < bits.size(); ++i) values[i] = std::bit_cast<float>(std::uint32_t{bits[i]} << 16U);
  }
  return values;
}

void download_layers(const TowerShape& shape, std::int64_t impressions, const TowerWorkspace& workspace,
                     TowerResults<float>& results) {
  for (std::size_t l = 0; l < shape.hidden.size(); ++l) {
    const auto& layer = workspace.layers[l];
    const std::int64_t width = shape.hidden[l], size = impressions * kTowers * width;
    const auto layer_a = download_layer(workspace, layer.a, size);
    const auto layer_z = shape.activation == Activation::prelu ? download_layer(workspace, layer.z, size) : layer_a;
    for (std::size_t t = 0; t < kTowers; ++t) {
      std::vector<float>&z = results.z[t].emplace_back(), &a = results.a[t].emplace_back();
      for (std::int64_t i = 0; i < impressions * width; ++i) {
        const std::int64_t at = i / width * kTowers * width + static_cast<std::int64_t>(t) * width + i % width;
        a.push_back(layer_a[index(at)]);
        z.push_back(layer_z[index(at)]);
      }
    }
  }
}

}  // namespace

struct TowerRun::Memory {
  Memory(Backend& backend, const TowerNet& net)
      : parameters(backend.memory(), parameter_count(net.shape)),
        gradients(upload(backend, std::vector<float>(net.parameters.size(), std::numeric_limits<float>::quiet_NaN()))),
        common_begin(upload(backend, net.common_begin)),
        common(backend, net.common_rows, net.shape.common_inputs),
        sample(backend, net.impressions, net.shape.sample_inputs),
        dlogits(backend, net.impressions, kTowers),
        logits(backend, net.impressions, kTowers),
        dcommon(backend, net.common_rows, net.shape.common_inputs),
        dsample(backend, net.impressions, net.shape.sample_inputs) {}
  [[nodiscard]] TowerInputs inputs() const { return {common.view(), sample.view(), common_begin.span()}; }

  Buffer<float> parameters, gradients;
  Buffer<std::uint32_t> common_begin;
  PaddedMatrix common, sample, dlogits, logits, dcommon, dsample;
};

TowerRun::TowerRun(Backend& backend, const TowerNet& net, TowerWorkspace& workspace)
    : backend_(backend), shape_(net.shape), workspace_(workspace), memory_(std::make_unique<Memory>(backend, net)) {
  load(net);
}
TowerRun::~TowerRun() = default;

void TowerRun::load(const TowerNet& net) {
  memory_->parameters.copy_from_host(net.parameters);
  memory_->common.load(net.common);
  memory_->sample.load(net.sample);
  memory_->dlogits.load(net.dlogits);
}

void TowerRun::forward(const Dropout& dropout) {
  towers_forward(backend_, shape_, tower_views(shape_, std::span<const float>(memory_->parameters.span())),
                 memory_->inputs(), dropout, workspace_, memory_->logits.view());
}

void TowerRun::backward(const Dropout& dropout) {
  towers_backward(backend_, shape_, tower_views(shape_, std::span<const float>(memory_->parameters.span())),
                  memory_->inputs(), dropout, memory_->dlogits.view(), workspace_,
                  tower_views(shape_, memory_->gradients.span()), memory_->dcommon.view(), memory_->dsample.view());
}

std::vector<float> TowerRun::logits() const {
  return memory_->logits.dense();
}

TowerResults<float> TowerRun::results() const {
  TowerResults<float> results;
  results.bf16 = workspace_.bf16;
  results.gradients = download(memory_->gradients);
  results.logits = memory_->logits.dense();
  results.dcommon = memory_->dcommon.dense();
  results.dsample = memory_->dsample.dense();
  download_layers(shape_, memory_->sample.view().rows, workspace_, results);
  return results;
}

TowerResults<float> run(Backend& backend, const TowerNet& net, const Dropout& dropout) {
  TowerWorkspace workspace(backend.memory());
  return run(backend, net, dropout, workspace);
}

TowerResults<float> run(Backend& backend, const TowerNet& net, const Dropout& dropout, TowerWorkspace& workspace) {
  TowerRun run(backend, net, workspace);
  run.forward(dropout);
  run.backward(dropout);
  return run.results();
}

namespace {

std::vector<double> map(const std::vector<float>& values, bool absolute) {
  std::vector<double> result(values.begin(), values.end());
  for (double& v : result) v = absolute ? std::fabs(v) : v;
  return result;
}

reference::Tower reference_tower(const TowerShape& shape, const TowerViews<double>& p, std::size_t t) {
  reference::Tower tower;
  const std::int64_t inputs = shape.common_inputs + shape.sample_inputs, h = shape.hidden.front();
  reference::DenseLayer& first = tower.emplace_back();
  first.inputs = index(inputs);
  first.outputs = index(h);
  for (std::int64_t k = 0; k < inputs; ++k) {
    const double* row = k < shape.common_inputs ? p.first_common.row(k) : p.first_sample.row(k - shape.common_inputs);
    first.weight.insert(first.weight.end(), row + index(h) * t, row + index(h) * (t + 1));
  }
  const auto half = [&](std::span<double> both) {
    const auto own = both.subspan(both.size() / kTowers * t, both.size() / kTowers);
    return std::vector<double>(own.begin(), own.end());
  };
  first.bias = half(p.first_bias);
  first.slope = half(p.first_slope);
  for (const auto& layer : p.deeper[t]) {
    tower.push_back({index(layer.weight.rows),
                     index(layer.weight.cols),
                     {layer.weight.data, layer.weight.data + layer.weight.rows * layer.weight.cols},
                     {layer.bias.begin(), layer.bias.end()},
                     {layer.slope.begin(), layer.slope.end()}});
  }
  return tower;
}

void store_gradients(const TowerShape& shape, const reference::Tower& gradient, std::size_t t,
                     const TowerViews<double>& out) {
  const std::size_t h = gradient[0].outputs, common = index(shape.common_inputs);
  for (std::size_t k = 0; k < gradient[0].inputs; ++k) {
    double* row = k < common ? out.first_common.row(static_cast<std::int64_t>(k))
                             : out.first_sample.row(static_cast<std::int64_t>(k - common));
    std::copy_n(gradient[0].weight.data() + k * h, h, row + h * t);
  }
  std::ranges::copy(gradient[0].bias, out.first_bias.data() + h * t);
  std::ranges::copy(gradient[0].slope, out.first_slope.data() + h * t);
  for (std::size_t l = 1; l < gradient.size(); ++l) {
    std::ranges::copy(gradient[l].weight, out.deeper[t][l - 1].weight.data);
    std::ranges::copy(gradient[l].bias, out.deeper[t][l - 1].bias.data());
    std::ranges::copy(gradient[l].slope, out.deeper[t][l - 1].slope.data());
  }
}

TowerResults<double> run_in_double(const TowerNet& net, const TowerResults<float>& observed, bool dropout_active,
                                   bool absolute) {
  const TowerShape& shape = net.shape;
  const std::size_t rows = index(net.impressions), common = index(shape.common_inputs),
                    sample = index(shape.sample_inputs);
  const reference::Unit unit = absolute                                ? reference::Unit::pass
                               : shape.activation == Activation::prelu ? reference::Unit::prelu
                                                                       : reference::Unit::relu;
  std::vector<double> parameters = map(net.parameters, absolute);
  const std::vector<double> commons = map(net.common, absolute), samples = map(net.sample, absolute),
                            dlogits = map(net.dlogits, absolute);
  std::vector<double> x;  // [B, Ic + Is] joined
  std::vector<std::size_t> user(rows, 0);
  for (std::size_t r = 0; r < rows; ++r) {
    while (common > 0 && net.common_begin[user[r] + 1] <= r) ++user[r];
    x.insert(x.end(), commons.data() + user[r] * common, commons.data() + (user[r] + (common > 0 ? 1 : 0)) * common);
    x.insert(x.end(), samples.data() + r * sample, samples.data() + (r + 1) * sample);
  }

  TowerResults<double> results;
  results.logits.resize(rows * kTowers);
  results.gradients.resize(parameters.size());
  results.dcommon.assign(commons.size(), 0.0);
  results.dsample.assign(samples.size(), 0.0);
  for (std::size_t t = 0; t < kTowers; ++t) {
    std::vector<std::vector<double>> masks;
    for (std::size_t l = 0; dropout_active && l < shape.hidden.size(); ++l) {
      std::vector<double>& mask = masks.emplace_back();
      for (const float a : observed.a[t][l]) {
        mask.push_back(a == 0.0F ? 0.0 : 1.0 / (1.0 - static_cast<double>(shape.dropout)));
      }
    }
    const auto tower = reference_tower(shape, tower_views(shape, std::span(parameters)), t);
    auto activations = reference::forward(tower, unit, x, rows, masks);
    results.z[t] = activations.z;
    results.a[t] = activations.a;
    for (std::size_t l = 0; l < shape.hidden.size() && !absolute; ++l) {
      for (std::size_t i = 0; i < activations.z[l].size(); ++i) {
        double& z = activations.z[l][i];
        z = observed.z[t][l][i] > 0.0F ? std::fabs(z) : -std::fabs(z);
      }
    }
    std::vector<double> dlogit(rows);
    for (std::size_t r = 0; r < rows; ++r) {
      results.logits[r * kTowers + t] = activations.a.back()[r];
      dlogit[r] = dlogits[r * kTowers + t];
    }
    const auto gradients = reference::backward(tower, unit, x, rows, masks, activations, dlogit);
    store_gradients(shape, gradients.tower, t, tower_views(shape, std::span(results.gradients)));
    for (std::size_t r = 0; r < rows; ++r) {
      const double* dx = gradients.x.data() + r * (common + sample);
      for (std::size_t k = 0; k < common; ++k) results.dcommon[user[r] * common + k] += dx[k];
      for (std::size_t k = 0; k < sample; ++k) results.dsample[r * sample + k] += dx[common + k];
    }
  }
  return results;
}

}  // namespace

TowerResults<double> reference_run(const TowerNet& net, const TowerResults<float>& observed, bool dropout_active) {
  return run_in_double(net, observed, dropout_active, false);
}

TowerResults<double> magnitude_run(const TowerNet& net, const TowerResults<float>& observed, bool dropout_active) {
  return run_in_double(net, observed, dropout_active, true);
}

void expect_close(const std::vector<float>& values, const std::vector<double>& expected,
                  const std::vector<double>& magnitude, double bound, const char* what) {
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double tolerance = bound * magnitude[i] + 1e-37;
    const double error = std::fabs(static_cast<double>(values[i]) - expected[i]);
    if (!(error <= tolerance)) {  // NaN included
      FAIL() << what << ' ' << i << " is " << values[i] << ", expected " << expected[i] << " within " << tolerance;
    }
  }
}

namespace {

// bfloat16 has 8 bits of precision. The factor covers products of (1 + roundings).
double bf16_bound(std::size_t roundings) {
  return 1.1 * static_cast<double>(roundings) * 0x1p-8;
}

}  // namespace

double forward_bound(const TowerShape& shape, bool bf16) {
  // Per layer: one rounding per product and sum, then bias, common half, slope, dropout factor and its own rounding.
  std::int64_t roundings = shape.common_inputs + shape.sample_inputs + 5;
  for (const std::int64_t width : shape.hidden) roundings += width + 5;
  // To bfloat16: each hidden layer's inputs and weights, and the last one's activations.
  return 1.01 * static_cast<double>(roundings) * 0x1p-24 + (bf16 ? bf16_bound(2 * shape.hidden.size() + 1) : 0.0);
}

double backward_bound(const TowerNet& net, bool bf16) {
  // Forward's roundings, as many again on the way back, and a sum over all impressions.
  const double fp32 = 2.0 * forward_bound(net.shape, false) +
                      1.01 * static_cast<double>(net.impressions + 2 * net.shape.hidden.front()) * 0x1p-24;
  // To bfloat16: forward's, then each hidden layer's dz and weights, and the sum over a common row's impressions.
  return fp32 + (bf16 ? bf16_bound(2 * net.shape.hidden.size() + 1 + 2 * net.shape.hidden.size() + 1) : 0.0);
}

}  // namespace esmm::test
