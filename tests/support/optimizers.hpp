#pragma once
#include <array>
#include <string>

#include "kernels/optimizer.hpp"

namespace esmm::test {

inline constexpr std::array kAllOptimizers = {OptimizerKind::sgd, OptimizerKind::adagrad,
                                              OptimizerKind::rowwise_adagrad, OptimizerKind::adam, OptimizerKind::ftrl};

[[nodiscard]] inline std::string name_of(OptimizerKind kind) {
  constexpr std::array kNames = {"sgd", "adagrad", "rowwise_adagrad", "adam", "ftrl"};
  return kNames.at(static_cast<std::size_t>(kind));
}

/// The first step of an optimizer that uses every hyper-parameter it has; a gradient scale is the backend's to keep.
[[nodiscard]] inline OptimizerStep demanding_optimizer(OptimizerKind kind) {
  return {.config = {.kind = kind, .initial_accumulator = 0.1F, .ftrl_beta = 0.5F, .ftrl_l1 = 0.2F, .ftrl_l2 = 0.1F},
          .learning_rate = 0.05F,
          .l2 = 0.01F,
          .step = 1};
}

}  // namespace esmm::test
