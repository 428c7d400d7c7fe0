#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "kernels/batch.hpp"

namespace esmm::reference {

/// A sum with what its rounding error is bounded by: added in float in any order, with each product rounded or fused,
/// it is off by at most (terms + 1) · 2^-24 · magnitude (Higham, Accuracy and Stability, §3.1).
struct Sum {
  double value = 0.0;
  double magnitude = 0.0;  // Σ |term|
  std::int64_t terms = 0;

  void add(double term);
  [[nodiscard]] double float_error() const;
};

/// Pooled embeddings of every bag: element (bag, d) is [bag * D + d].
[[nodiscard]] std::vector<Sum> pool_embeddings(const Bags& bags, MatrixView<const float> table);

/// Gradient of every touched row.
using RowGradients = std::map<std::uint32_t, std::vector<Sum>>;
void add_row_gradients(const Bags& bags, MatrixView<const float> dpooled, std::int64_t dim, RowGradients& gradients);

}  // namespace esmm::reference
