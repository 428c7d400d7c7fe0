#include "tests/reference/embedding.hpp"

#include <cmath>

namespace esmm::reference {

void Sum::add(double term) {
  value += term;
  magnitude += std::abs(term);
  ++terms;
}

double Sum::float_error() const {
  return static_cast<double>(terms + 1) * std::ldexp(1.0, -24) * magnitude;
}

namespace {
double weight_of(const Bags& bags, std::size_t id) {
  return bags.weights.empty() ? 1.0 : static_cast<double>(bags.weights[id]);
}
}  // namespace

std::vector<Sum> pool_embeddings(const Bags& bags, MatrixView<const float> table) {
  std::vector<Sum> pooled;
  for (std::int64_t bag = 0; bag < bags.count(); ++bag) {
    for (std::int64_t d = 0; d < table.cols; ++d) {
      Sum sum;
      for (std::size_t i = bags.offsets[static_cast<std::size_t>(bag)];
           i < bags.offsets[static_cast<std::size_t>(bag) + 1]; ++i) {
        sum.add(weight_of(bags, i) * static_cast<double>(table(bags.rows[i], d)));
      }
      pooled.push_back(sum);
    }
  }
  return pooled;
}

void add_row_gradients(const Bags& bags, MatrixView<const float> dpooled, std::int64_t dim, RowGradients& gradients) {
  for (std::int64_t bag = 0; bag < bags.count(); ++bag) {
    const std::int64_t r = bag / bags.fields;
    const std::int64_t f = bag % bags.fields;
    for (std::size_t i = bags.offsets[static_cast<std::size_t>(bag)];
         i < bags.offsets[static_cast<std::size_t>(bag) + 1]; ++i) {
      std::vector<Sum>& row = gradients[bags.rows[i]];
      row.resize(static_cast<std::size_t>(dim));
      for (std::int64_t d = 0; d < dim; ++d) {
        row[static_cast<std::size_t>(d)].add(weight_of(bags, i) * static_cast<double>(dpooled(r, f * dim + d)));
      }
    }
  }
}

}  // namespace esmm::reference
