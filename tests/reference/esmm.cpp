#include "tests/reference/esmm.hpp"

#include <cmath>

namespace esmm::reference {

namespace {

std::vector<double> embed(const Esmm& model, const std::vector<Bag>& bags) {
  const std::vector<double>& table = model.parameters.at("embedding");
  std::vector<double> pooled;
  for (const Bag& bag : bags) {
    for (std::size_t d = 0; d < model.dim; ++d) {
      double sum = 0.0;
      for (const WeightedRow& id : bag) sum += id.weight * table[id.row * model.dim + d];
      pooled.push_back(sum);
    }
  }
  return pooled;
}

std::vector<double> multiply(const std::vector<double>& x, const std::vector<double>& weight, std::size_t outputs) {
  std::vector<double> y(outputs, 0.0);
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t o = 0; o < outputs; ++o) y[o] += x[i] * weight[i * outputs + o];
  }
  return y;
}

double tower(const Esmm& model, const std::string& name, const std::vector<double>& common,
             const std::vector<double>& sample) {
  const auto& p = model.parameters;
  std::vector<double> x;
  for (std::size_t layer = 0; layer <= model.hidden.size(); ++layer) {
    const bool output = layer == model.hidden.size();
    const std::string prefix = name + (output ? ".output" : "." + std::to_string(layer));
    const std::size_t width = output ? 1 : model.hidden[layer];
    std::vector<double> z(width, 0.0);
    if (layer == 0) {
      const std::vector<double> first = multiply(common, p.at(prefix + ".weight_common"), width);
      const std::vector<double> second = multiply(sample, p.at(prefix + ".weight_sample"), width);
      for (std::size_t o = 0; o < width; ++o) z[o] = first[o] + second[o];
    } else {
      z = multiply(x, p.at(prefix + ".weight"), width);
    }
    for (std::size_t o = 0; o < width; ++o) {
      z[o] += p.at(prefix + ".bias")[o];
      if (!output && z[o] < 0) z[o] *= model.prelu ? p.at(prefix + ".slope")[o] : 0.0;
    }
    x = z;
  }
  return x[0];
}

double cross_entropy(bool label, double p) {
  return label ? -std::log(p) : -std::log1p(-p);
}

}  // namespace

double loss(const Esmm& model, const std::vector<Impression>& batch) {
  double sum = 0.0;
  for (const Impression& x : batch) {
    const std::vector<double> common = embed(model, x.common);
    std::vector<double> sample = embed(model, x.sample);
    sample.insert(sample.end(), x.dense.begin(), x.dense.end());
    const double pctr = 1.0 / (1.0 + std::exp(-tower(model, "ctr", common, sample)));
    const double pcvr = 1.0 / (1.0 + std::exp(-tower(model, "cvr", common, sample)));
    sum += model.ctr_weight * cross_entropy(x.click, pctr) +
           model.ctcvr_weight * cross_entropy(x.click && x.conversion, pctr * pcvr);
  }
  return sum / static_cast<double>(batch.size());
}

}  // namespace esmm::reference
