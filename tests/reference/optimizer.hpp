#pragma once
#include <cstdint>
#include <vector>

#include "kernels/optimizer.hpp"

namespace esmm::reference {

/// One row of weights and its optimizer, in double and as the papers write it.
class Row {
 public:
  Row(const OptimizerConfig& config, std::vector<double> weights);

  /// `sparse` tells SparseAdam's placing of epsilon (beside √v) from Adam's (beside √v̂). `scale`: what the optimizer's
  /// gradient_scale points to.
  void step(const OptimizerStep& optimizer, bool sparse, const std::vector<double>& gradient, double scale = 1.0);

  [[nodiscard]] const std::vector<double>& weights() const { return weights_; }

 private:
  void step_sgd(double alpha, const std::vector<double>& g);
  void step_adagrad(double alpha, double epsilon, const std::vector<double>& g);
  void step_rowwise_adagrad(double alpha, double epsilon, const std::vector<double>& g);
  void step_adam(const OptimizerStep& optimizer, bool sparse, const std::vector<double>& g);
  void step_ftrl(const OptimizerStep& optimizer, const std::vector<double>& g);

  std::vector<double> weights_;
  std::vector<double> squares_;  // adagrad's and ftrl's sums (row-wise: its first element), adam's second moment
  std::vector<double> first_;    // adam's first moment, ftrl's z
};

}  // namespace esmm::reference
