#include "tests/reference/optimizer.hpp"

#include <cmath>
#include <utility>

namespace esmm::reference {

Row::Row(const OptimizerConfig& config, std::vector<double> weights)
    : weights_(std::move(weights)),
      squares_(weights_.size(),
               config.kind == OptimizerKind::adam ? 0.0 : static_cast<double>(config.initial_accumulator)),
      first_(weights_.size(), 0.0) {}

void Row::step(const OptimizerStep& optimizer, bool sparse, const std::vector<double>& gradient, double scale) {
  std::vector<double> g = gradient;
  for (std::size_t d = 0; d < g.size(); ++d) {
    g[d] = scale * g[d] + static_cast<double>(optimizer.l2) * weights_[d];
  }
  const auto alpha = static_cast<double>(optimizer.learning_rate);
  const auto epsilon = static_cast<double>(optimizer.config.epsilon);
  switch (optimizer.config.kind) {
    case OptimizerKind::sgd:
      return step_sgd(alpha, g);
    case OptimizerKind::adagrad:
      return step_adagrad(alpha, epsilon, g);
    case OptimizerKind::rowwise_adagrad:
      return step_rowwise_adagrad(alpha, epsilon, g);
    case OptimizerKind::adam:
      return step_adam(optimizer, sparse, g);
    case OptimizerKind::ftrl:
      return step_ftrl(optimizer, g);
  }
}

void Row::step_sgd(double alpha, const std::vector<double>& g) {
  for (std::size_t d = 0; d < g.size(); ++d) weights_[d] -= alpha * g[d];
}

void Row::step_adagrad(double alpha, double epsilon, const std::vector<double>& g) {
  for (std::size_t d = 0; d < g.size(); ++d) {
    squares_[d] += g[d] * g[d];
    weights_[d] -= alpha * g[d] / (std::sqrt(squares_[d]) + epsilon);
  }
}

void Row::step_rowwise_adagrad(double alpha, double epsilon, const std::vector<double>& g) {
  double sum = 0.0;
  for (const double x : g) sum += x * x;
  squares_[0] += sum / static_cast<double>(g.size());
  for (std::size_t d = 0; d < g.size(); ++d) weights_[d] -= alpha * g[d] / (std::sqrt(squares_[0]) + epsilon);
}

void Row::step_adam(const OptimizerStep& optimizer, bool sparse, const std::vector<double>& g) {
  const auto beta1 = static_cast<double>(optimizer.config.beta1);
  const auto beta2 = static_cast<double>(optimizer.config.beta2);
  const auto epsilon = static_cast<double>(optimizer.config.epsilon);
  const auto t = static_cast<double>(optimizer.step);
  const double correction1 = 1.0 - std::pow(beta1, t);
  const double correction2 = 1.0 - std::pow(beta2, t);
  for (std::size_t d = 0; d < g.size(); ++d) {
    first_[d] = beta1 * first_[d] + (1.0 - beta1) * g[d];
    squares_[d] = beta2 * squares_[d] + (1.0 - beta2) * g[d] * g[d];
    const double root = sparse ? (std::sqrt(squares_[d]) + epsilon) / std::sqrt(correction2)
                               : std::sqrt(squares_[d] / correction2) + epsilon;
    weights_[d] -= static_cast<double>(optimizer.learning_rate) * (first_[d] / correction1) / root;
  }
}

void Row::step_ftrl(const OptimizerStep& optimizer, const std::vector<double>& g) {
  const auto alpha = static_cast<double>(optimizer.learning_rate);
  const auto l1 = static_cast<double>(optimizer.config.ftrl_l1);
  for (std::size_t d = 0; d < g.size(); ++d) {
    const double n = squares_[d] + g[d] * g[d];
    first_[d] += g[d] - (std::sqrt(n) - std::sqrt(squares_[d])) / alpha * weights_[d];
    squares_[d] = n;
    const double z = first_[d];
    const double curvature = (static_cast<double>(optimizer.config.ftrl_beta) + std::sqrt(n)) / alpha +
                             static_cast<double>(optimizer.config.ftrl_l2);
    weights_[d] = std::abs(z) <= l1 ? 0.0 : -(z - (z > 0.0 ? l1 : -l1)) / curvature;
  }
}

}  // namespace esmm::reference
