#pragma once
#include <cstdint>
#include <random>

#include "io/loader.hpp"

namespace esmm::bench {

/// What a batch looks like whose ids are drawn from one table that all fields share.
struct BatchShape {
  std::int64_t impressions, common_rows;  // B, U; without common rows U is 0
  std::int64_t sample_fields, common_fields;
  double sample_ids, common_ids;  // per bag, on average
  std::int64_t table_rows;        // V
};

/// Such a batch, the same for the same state of `random`. Bags and common rows are as equal as whole numbers can be;
/// ids are uniform over the table, the worst case for the caches, with weight 1; 4 % clicks and 1 % conversions.
[[nodiscard]] HostBatch random_batch(const BatchShape& shape, std::mt19937& random);

}  // namespace esmm::bench
