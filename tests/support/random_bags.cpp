#include "tests/support/random_bags.hpp"

#include <cmath>

namespace esmm::test {

OwnedBags make_random_bags(const RandomBags& shape, std::mt19937& random) {
  OwnedBags bags(shape.fields);
  std::geometric_distribution<int> length(1.0 / static_cast<double>(shape.mean_ids + 1));
  std::uniform_real_distribution<double> unit(0.0, 1.0);
  for (std::int64_t bag = 0; bag < shape.rows * shape.fields; ++bag) {
    std::vector<std::uint32_t> ids(static_cast<std::size_t>(length(random)));
    for (std::uint32_t& id : ids) {
      id = static_cast<std::uint32_t>(std::pow(unit(random), 3.0) * static_cast<double>(shape.table_rows));
    }
    bags.add_bag(ids);
  }
  if (shape.weighted) bags.weights = random_floats(static_cast<std::int64_t>(bags.rows.size()), random);
  return bags;
}

std::vector<float> random_floats(std::int64_t count, std::mt19937& random) {
  std::vector<float> values(static_cast<std::size_t>(count));
  std::uniform_real_distribution<float> distribution(-1.0F, 1.0F);
  for (float& value : values) value = distribution(random);
  return values;
}

}  // namespace esmm::test
