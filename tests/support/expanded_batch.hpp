#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "io/loader.hpp"

namespace esmm::test {

/// One impression with everything that belongs to it, written out.
struct Impression {
  using Bag = std::vector<std::pair<std::uint32_t, float>>;  // (arena row, weight)
  std::uint64_t input_index = 0;
  std::uint8_t click = 0, conversion = 0;
  std::vector<Bag> bags;  // sample fields, then common fields
  std::vector<float> dense;
  std::string sample_id;
  friend bool operator==(const Impression&, const Impression&) = default;
};

/// The impressions of a batch, in its order. Needs with_input_index.
[[nodiscard]] std::vector<Impression> expand(const HostBatch& batch);

/// The impressions of a block as it was decoded, by the definitions of pooling and transforms, in double.
[[nodiscard]] std::vector<Impression> expand(const Block& block, const ModelInputs& inputs);

/// Fails the test unless the batch keeps every promise of BatchView.
void expect_well_formed(const HostBatch& batch);

/// Equal up to 4 units in the last place of weights and dense values: each is one or two rounded operations.
void expect_same(const Impression& actual, const Impression& expected);

}  // namespace esmm::test
