#pragma once
#include <cstddef>
#include <vector>

// One tower as an ordinary multilayer perceptron over joined inputs: double precision, one loop per sum. Nothing is
// factored, tiled or shared between towers.
namespace esmm::reference {

enum class Unit {
  relu,
  prelu,
  pass,  // the identity: on absolute values it yields the sums of absolute products that rounding-error bounds need
};

struct DenseLayer {
  std::size_t inputs, outputs;
  std::vector<double> weight;  // [inputs, outputs]
  std::vector<double> bias;    // [outputs]
  std::vector<double> slope;   // [outputs] for PReLU
};
using Tower = std::vector<DenseLayer>;  // hidden layers, then the logit

struct Activations {
  std::vector<std::vector<double>> z;  // per layer [B, outputs], before the unit
  std::vector<std::vector<double>> a;  // per layer [B, outputs], after unit and mask; of the last layer: the logits
};

/// masks: per hidden layer [B, outputs] factors (dropout), or empty for all 1.
Activations forward(const Tower& tower, Unit unit, const std::vector<double>& x, std::size_t rows,
                    const std::vector<std::vector<double>>& masks);

struct Gradients {
  Tower tower;
  std::vector<double> x;  // [B, inputs]
};
Gradients backward(const Tower& tower, Unit unit, const std::vector<double>& x, std::size_t rows,
                   const std::vector<std::vector<double>>& masks, const Activations& activations,
                   const std::vector<double>& dlogit);

}  // namespace esmm::reference
