#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/config.hpp"
#include "io/loader.hpp"
#include "io/packed.hpp"
#include "io/schema.hpp"
#include "io/vocabulary.hpp"
#include "kernels/towers.hpp"

namespace esmm {

/// One embedding table and its place in the arena.
struct TableSpec {
  std::string name;
  std::uint32_t first_row = 0;
  std::uint32_t rows = 0;
};

/// Everything that fixes the shapes of a model's parameters and how the loader feeds it.
struct ModelSpec {
  Schema schema;
  std::vector<TableSpec> tables;  // in the arena's order
  std::int64_t dim = 0;           // D, values of an arena row: with unshared tables those of one tower after the other
  Method method = esmm::method(ModelKind::esmm);
  TowerShape towers;
  ModelInputs inputs;

  [[nodiscard]] std::int64_t arena_rows() const;  // V
  /// Values of a row that one tower reads.
  [[nodiscard]] std::int64_t tower_dim() const { return method.shared_tables ? dim : dim / kTowers; }
  [[nodiscard]] std::int64_t common_inputs() const { return towers.common_inputs; }
  [[nodiscard]] std::int64_t sample_inputs() const { return towers.sample_inputs; }
  /// Columns of the pooled sample inputs that come from embeddings; dense features follow them.
  [[nodiscard]] std::int64_t pooled_sample_columns() const;
};

/// Normalisation of dense columns to mean 0 and standard deviation 1 over the training data.
[[nodiscard]] std::vector<DenseInput> normalisation(const std::vector<DatasetStatistics::DenseStatistics>& statistics);

/// Derives the spec from the configuration, the schema, the vocabulary and the dense columns' normalisation. Throws
/// Error (usage) when the configuration names a field that the schema lacks, Error (device) when the tables exceed 2^32
/// rows.
[[nodiscard]] ModelSpec make_model_spec(const Config& config, const Schema& schema, const Vocabulary& vocabulary,
                                        std::vector<DenseInput> dense);

/// Bytes of `memory` that training such a model on so many impressions allocates: parameters, optimizer state, one
/// batch.
[[nodiscard]] std::int64_t training_bytes(const ModelSpec& spec, const Config& config, std::int64_t impressions,
                                          const Memory& memory);

}  // namespace esmm
