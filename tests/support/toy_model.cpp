#include "tests/support/toy_model.hpp"

#include <random>

namespace esmm::test {

Config toy_config(Activation activation) {
  Config config;
  config.dim = 5;
  config.hidden = {7, 4};
  config.activation = activation;
  config.ctr_weight = 0.7F;
  config.ctcvr_weight = 1.3F;
  config.embedding_stddev = 0.5F;
  return config;
}

ModelSpec toy_spec(const Config& config) {
  Schema schema;
  schema.fields = {{"item", Side::sample, "item"},
                   {"shop", Side::sample, "shop"},
                   {"last_item", Side::sample, "seen"},
                   {"user", Side::common, "user"},
                   {"seen", Side::common, "seen"}};
  schema.dense = {"price", "age"};
  std::vector<Vocabulary::Table> tables;
  for (const std::string& name : schema.tables()) {
    Vocabulary::Table table{name, Encoding::hash, 6, 0, {}};
    tables.push_back(table);
  }
  return make_model_spec(config, schema, Vocabulary(tables, 1), {{0.0F, 1.0F}, {0.0F, 1.0F}});
}

namespace {

struct BagWriter {
  std::pmr::vector<std::uint32_t>& offsets;
  std::pmr::vector<std::uint32_t>& rows;
  std::pmr::vector<float>& weights;
};

void add_bags(const ModelSpec& spec, Side side, std::mt19937_64& random, const BagWriter& out) {
  std::uniform_real_distribution<float> weight(-1.0F, 1.0F);
  for (std::size_t f = 0; f < spec.schema.fields.size(); ++f) {
    if (spec.schema.fields[f].side != side) continue;
    const auto ids = random() % 5;
    for (std::uint64_t i = 0; i < ids; ++i) {
      out.rows.push_back(spec.inputs.fields[f].first_row + static_cast<std::uint32_t>(random() % 6));
      out.weights.push_back(weight(random));
    }
    out.offsets.push_back(static_cast<std::uint32_t>(out.rows.size()));
  }
}

}  // namespace

HostBatch toy_batch(const ModelSpec& spec, std::int64_t impressions, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  HostBatch batch;
  batch.sample_fields = spec.schema.count(Side::sample);
  batch.common_fields = spec.schema.count(Side::common);
  batch.dense_columns = static_cast<std::int64_t>(spec.inputs.dense.size());
  batch.sample_offsets = batch.common_offsets = batch.common_begin = {0};
  while (batch.impressions() < impressions) {
    const auto left = static_cast<std::uint64_t>(impressions - batch.impressions());
    const std::uint64_t group = std::min<std::uint64_t>(1 + random() % 4, left);
    add_bags(spec, Side::common, random, {batch.common_offsets, batch.common_rows, batch.common_weights});
    for (std::uint64_t i = 0; i < group; ++i) {
      add_bags(spec, Side::sample, random, {batch.sample_offsets, batch.sample_rows, batch.sample_weights});
      for (std::int64_t e = 0; e < batch.dense_columns; ++e) batch.dense.push_back(normal(random));
      batch.click.push_back(random() % 2 == 0 ? 1 : 0);
      batch.conversion.push_back(batch.click.back() == 1 && random() % 2 == 0 ? 1 : 0);
    }
    batch.common_begin.push_back(static_cast<std::uint32_t>(batch.impressions()));
  }
  return batch;
}

reference::Esmm to_reference(const Config& config, const Parameters& parameters) {
  reference::Esmm model;
  model.dim = static_cast<std::size_t>(config.dim);
  for (const std::int64_t width : config.hidden) model.hidden.push_back(static_cast<std::size_t>(width));
  model.prelu = config.activation == Activation::prelu;
  model.ctr_weight = static_cast<double>(config.ctr_weight);
  model.ctcvr_weight = static_cast<double>(config.ctcvr_weight);
  const auto copy = [&](const std::string& name, MatrixView<const float> values) {
    std::vector<double>& out = model.parameters[name];
    for (std::int64_t r = 0; r < values.rows; ++r) out.insert(out.end(), values.row(r), values.row(r) + values.cols);
  };
  copy("embedding", parameters.tables());
  for (const TowerParameters::Part& part : parameters.towers().parts()) copy(part.name, part.values);
  return model;
}

namespace {

std::vector<reference::Bag> bags_of_row(const std::pmr::vector<std::uint32_t>& offsets,
                                        const std::pmr::vector<std::uint32_t>& rows,
                                        const std::pmr::vector<float>& weights, std::int64_t fields, std::int64_t row) {
  std::vector<reference::Bag> bags;
  for (std::int64_t f = 0; f < fields; ++f) {
    const auto bag = static_cast<std::size_t>(row * fields + f);
    reference::Bag ids;
    for (std::uint32_t i = offsets[bag]; i < offsets[bag + 1]; ++i) {
      ids.push_back({rows[i], weights.empty() ? 1.0 : static_cast<double>(weights[i])});
    }
    bags.push_back(ids);
  }
  return bags;
}

}  // namespace

std::vector<reference::Impression> to_reference(const HostBatch& batch) {
  std::vector<reference::Impression> impressions;
  for (std::size_t u = 0; u + 1 < batch.common_begin.size(); ++u) {
    for (std::uint32_t b = batch.common_begin[u]; b < batch.common_begin[u + 1]; ++b) {
      reference::Impression x;
      x.common = bags_of_row(batch.common_offsets, batch.common_rows, batch.common_weights, batch.common_fields,
                             static_cast<std::int64_t>(u));
      x.sample = bags_of_row(batch.sample_offsets, batch.sample_rows, batch.sample_weights, batch.sample_fields, b);
      const float* dense = batch.dense.data() + static_cast<std::int64_t>(b) * batch.dense_columns;
      x.dense.assign(dense, dense + batch.dense_columns);
      x.click = batch.click[b] != 0;
      x.conversion = batch.conversion[b] != 0;
      impressions.push_back(x);
    }
  }
  return impressions;
}

}  // namespace esmm::test
