#pragma once
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/config.hpp"
#include "engine/model_spec.hpp"

namespace esmm::bench {

/// What steps are taken on: batches, and the shapes of the model for them.
struct StepSource {
  std::shared_ptr<const PackedDataset> dataset;  // null where ids are random
  ModelSpec spec;
  std::vector<HostBatch> batches;
};

/// The first `count` batches (fewer where the epoch is shorter) of epoch 0 of `config.data`, exactly as `esmm_gpu
/// train` would see them with this configuration.
[[nodiscard]] StepSource packed_source(const Config& config, std::int64_t count);

/// Batches of random ids by what they have on average; by default as in Ali-CCP.
struct RandomShape {
  double rows = 1e6;  // V, of one table that all fields share
  double sample_fields = 10, common_fields = 13;
  double sample_ids = 13, common_ids = 616;  // of an impression, of a common row
  double impressions = 57;                   // of a common row
};
/// From KEY=VALUE,…, the keys being the members. Throws Error (usage).
[[nodiscard]] RandomShape parse_random_shape(std::string_view text);
/// `count` such batches (random_batch.hpp) of `config.batch_size` impressions.
[[nodiscard]] StepSource random_source(const Config& config, const RandomShape& shape, std::int64_t count);

/// What `esmm_gpu train` gives its loader.
[[nodiscard]] LoaderOptions loader_options(const Config& config);

}  // namespace esmm::bench
