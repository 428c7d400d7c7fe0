#include "engine/model_spec.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "io/messages.hpp"
#include "kernels/error.hpp"

namespace esmm {

std::int64_t ModelSpec::arena_rows() const {
  return tables.empty() ? 0 : std::int64_t{tables.back().first_row} + tables.back().rows;
}

std::int64_t ModelSpec::pooled_sample_columns() const {
  return schema.count(Side::sample) * dim;
}

namespace {

std::vector<TableSpec> lay_out_tables(const Schema& schema, const Vocabulary& vocabulary) {
  std::vector<TableSpec> tables;
  std::uint64_t next = 0;
  for (const std::string& name : schema.tables()) {
    const int index = vocabulary.find_table(name);
    if (index < 0) {
      throw data_error("the vocabulary has no table \"{}\" that the schema names. Pack the data again.", name);
    }
    const std::uint32_t rows = vocabulary.tables()[static_cast<std::size_t>(index)].rows;
    tables.push_back({name, static_cast<std::uint32_t>(next), rows});
    next += rows;
  }
  if (next > std::numeric_limits<std::uint32_t>::max()) {
    throw device_error("{} embedding rows are more than 2^32. Raise --min-count or lower --buckets.", next);
  }
  return tables;
}

FieldInput field_input(const Config& config, const Field& field, const std::vector<TableSpec>& tables) {
  FieldInput input{0, config.pooling, config.value_transform, config.value_clip};
  for (const TableSpec& table : tables) {
    if (table.name == field.table) input.first_row = table.first_row;
  }
  if (const auto own = config.fields.find(field.name); own != config.fields.end()) {
    input.pooling = own->second.pooling.value_or(input.pooling);
    input.transform = own->second.transform.value_or(input.transform);
    input.clip = own->second.clip.value_or(input.clip);
  }
  return input;
}

}  // namespace

std::vector<DenseInput> normalisation(const std::vector<DatasetStatistics::DenseStatistics>& statistics) {
  std::vector<DenseInput> inputs;
  for (const auto& column : statistics) {
    // A column that is constant, or nearly so, carries nothing and must not be divided by 0.
    const auto inverse = static_cast<float>(1.0 / column.std);
    inputs.push_back({static_cast<float>(column.mean), std::isfinite(inverse) ? inverse : 0.0F});
  }
  return inputs;
}

ModelSpec make_model_spec(const Config& config, const Schema& schema, const Vocabulary& vocabulary,
                          std::vector<DenseInput> dense) {
  ModelSpec spec;
  spec.schema = schema;
  spec.method = method(config.model);
  spec.dim = config.dim * (spec.method.shared_tables ? 1 : kTowers);
  spec.tables = lay_out_tables(schema, vocabulary);
  for (const auto& [name, unused] : config.fields) {
    if (schema.find(name) < 0) {
      std::vector<std::string> known;
      for (const Field& field : schema.fields) known.push_back(field.name);
      throw usage_error("[fields.\"{}\"]: the data has no such field. {}", name,
                        did_you_mean(name, known, "`esmm_gpu inspect` lists them."));
    }
  }
  for (const Field& field : schema.fields) spec.inputs.fields.push_back(field_input(config, field, spec.tables));
  spec.inputs.dense = std::move(dense);
  spec.towers.common_inputs = schema.count(Side::common) * spec.dim;
  spec.towers.sample_inputs =
      schema.count(Side::sample) * spec.dim + static_cast<std::int64_t>(spec.inputs.dense.size());
  spec.towers.hidden = config.hidden;
  spec.towers.activation = config.activation;
  spec.towers.dropout = config.dropout;
  return spec;
}

std::int64_t training_bytes(const ModelSpec& spec, const Config& config, std::int64_t impressions,
                            const Memory& memory) {
  const std::int64_t row_floats =
      memory.row_stride(spec.dim) + memory.row_stride(state_width(config.optimizer, spec.dim));
  const std::int64_t widest = std::accumulate(config.hidden.begin(), config.hidden.end(), std::int64_t{0});
  const std::int64_t inputs = spec.common_inputs() + spec.sample_inputs();
  const std::int64_t activations = std::min(config.batch_size, impressions) * (2 * inputs + 3 * kTowers * 2 * widest);
  return 4 * (spec.arena_rows() * row_floats + 4 * inputs * kTowers * widest + activations);
}

}  // namespace esmm
