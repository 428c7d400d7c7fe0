#pragma once
#include <cstdint>
#include <random>
#include <vector>

#include "kernels/batch.hpp"

namespace esmm::test {

/// Bags that own their arrays.
struct OwnedBags {
  OwnedBags() = default;
  explicit OwnedBags(std::int64_t fields_) : fields(fields_) {}

  std::int64_t fields = 0;
  std::vector<std::uint32_t> offsets{0};
  std::vector<std::uint32_t> rows;
  std::vector<float> weights;

  [[nodiscard]] Bags view() const { return {offsets, rows, weights, fields}; }
  void add_bag(const std::vector<std::uint32_t>& ids) {
    rows.insert(rows.end(), ids.begin(), ids.end());
    offsets.push_back(static_cast<std::uint32_t>(rows.size()));
  }
};

struct RandomBags {
  std::int64_t rows = 0;  // of the batch
  std::int64_t fields = 0;
  std::uint32_t table_rows = 1;  // ids are in [0, table_rows), small ones more often
  std::int64_t mean_ids = 2;     // per bag; about one bag in mean_ids + 1 is empty
  bool weighted = true;
};

[[nodiscard]] OwnedBags make_random_bags(const RandomBags& shape, std::mt19937& random);

/// `count` numbers in [-1, 1).
[[nodiscard]] std::vector<float> random_floats(std::int64_t count, std::mt19937& random);

}  // namespace esmm::test
