#include "tests/reference/towers.hpp"

#include <algorithm>

namespace esmm::reference {

Activations forward(const Tower& tower, Unit unit, const std::vector<double>& x, std::size_t rows,
                    const std::vector<std::vector<double>>& masks) {
  Activations result;
  for (std::size_t l = 0; l < tower.size(); ++l) {
    const DenseLayer& layer = tower[l];
    const std::vector<double>& input = l == 0 ? x : result.a[l - 1];
    std::vector<double> z(rows * layer.outputs), a(rows * layer.outputs);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t j = 0; j < layer.outputs; ++j) {
        double sum = layer.bias[j];
        for (std::size_t k = 0; k < layer.inputs; ++k) {
          sum += input[r * layer.inputs + k] * layer.weight[k * layer.outputs + j];
        }
        const std::size_t i = r * layer.outputs + j;
        z[i] = sum;
        a[i] = sum;
        if (l + 1 == tower.size()) continue;
        if (unit == Unit::relu) a[i] = std::max(sum, 0.0);
        if (unit == Unit::prelu && sum < 0.0) a[i] = layer.slope[j] * sum;
        if (!masks.empty()) a[i] *= masks[l][i];
      }
    }
    result.z.push_back(std::move(z));
    result.a.push_back(std::move(a));
  }
  return result;
}

Gradients backward(const Tower& tower, Unit unit, const std::vector<double>& x, std::size_t rows,
                   const std::vector<std::vector<double>>& masks, const Activations& activations,
                   const std::vector<double>& dlogit) {
  Gradients result;
  result.tower = tower;
  std::vector<double> da = dlogit;  // [B, outputs] of the layer at hand
  for (std::size_t l = tower.size(); l-- > 0;) {
    const DenseLayer& layer = tower[l];
    DenseLayer& gradient = result.tower[l];
    std::fill(gradient.weight.begin(), gradient.weight.end(), 0.0);
    std::fill(gradient.bias.begin(), gradient.bias.end(), 0.0);
    std::fill(gradient.slope.begin(), gradient.slope.end(), 0.0);
    const std::vector<double>& input = l == 0 ? x : activations.a[l - 1];
    std::vector<double> dinput(rows * layer.inputs, 0.0);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t j = 0; j < layer.outputs; ++j) {
        const std::size_t i = r * layer.outputs + j;
        const double z = activations.z[l][i];
        double dz = da[i];
        if (l + 1 < tower.size()) {
          if (!masks.empty()) dz *= masks[l][i];
          if (unit == Unit::relu && z <= 0.0) dz = 0.0;
          if (unit == Unit::pass && !gradient.slope.empty()) gradient.slope[j] += z * dz;
          if (unit == Unit::prelu && z < 0.0) {
            gradient.slope[j] += z * dz;
            dz *= layer.slope[j];
          }
        }
        gradient.bias[j] += dz;
        for (std::size_t k = 0; k < layer.inputs; ++k) {
          gradient.weight[k * layer.outputs + j] += input[r * layer.inputs + k] * dz;
          dinput[r * layer.inputs + k] += layer.weight[k * layer.outputs + j] * dz;
        }
      }
    }
    da = std::move(dinput);
  }
  result.x = std::move(da);
  return result;
}

}  // namespace esmm::reference
