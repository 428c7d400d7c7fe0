#include "bench/step_source.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "bench/random_batch.hpp"
#include "kernels/error.hpp"

namespace esmm::bench {

namespace {

constexpr std::pair<std::string_view, double RandomShape::*> kKeys[] = {
    {"rows", &RandomShape::rows},
    {"sample_fields", &RandomShape::sample_fields},
    {"common_fields", &RandomShape::common_fields},
    {"sample_ids", &RandomShape::sample_ids},
    {"common_ids", &RandomShape::common_ids},
    {"impressions", &RandomShape::impressions},
};

void set(RandomShape& shape, std::string_view entry) {
  const std::size_t equals = std::min(entry.find('='), entry.size());
  const std::string_view text = entry.substr(std::min(equals + 1, entry.size()));
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  for (const auto& [key, member] : kKeys) {
    if (key != entry.substr(0, equals) || error != std::errc() || end != text.data() + text.size()) continue;
    if (!(value >= 1 && value < 4294967295.0)) break;
    shape.*member = value;
    return;
  }
  throw usage_error(
      "--random {}: expected KEY=NUMBER, from 1 below 2^32, with the keys rows, sample_fields, common_fields, "
      "sample_ids, common_ids, impressions.",
      entry);
}

Schema shared_table_schema(std::int64_t sample_fields, std::int64_t common_fields) {
  Schema schema;
  for (std::int64_t f = 0; f < sample_fields; ++f) {
    schema.fields.push_back({fmt::format("sample{}", f), Side::sample, "ids"});
  }
  for (std::int64_t f = 0; f < common_fields; ++f) {
    schema.fields.push_back({fmt::format("common{}", f), Side::common, "ids"});
  }
  return schema;
}

}  // namespace

LoaderOptions loader_options(const Config& config) {
  LoaderOptions options;
  options.batch_size = config.batch_size;
  options.order = config.shuffle == Shuffle::common_row   ? Order::by_common_row
                  : config.shuffle == Shuffle::impression ? Order::by_impression
                                                          : Order::sequential;
  options.seed = config.seed;
  options.window_bytes = static_cast<std::uint64_t>(config.window_mb) << 20U;
  return options;
}

StepSource packed_source(const Config& config, std::int64_t count) {
  StepSource source;
  source.dataset = PackedDataset::open(config.data);
  source.spec = make_model_spec(config, source.dataset->schema(), *source.dataset->vocabulary(),
                                normalisation(source.dataset->statistics().dense));
  Loader loader(source.dataset, source.spec.inputs, loader_options(config));
  loader.start(0);
  for (std::int64_t b = 0; b < count; ++b) {
    const HostBatch* batch = loader.next();
    if (batch == nullptr) break;
    source.batches.push_back(*batch);
  }
  if (source.batches.empty()) throw data_error("{}: has no impressions.", config.data);
  return source;
}

RandomShape parse_random_shape(std::string_view text) {
  RandomShape shape;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    set(shape, text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return shape;
}

StepSource random_source(const Config& config, const RandomShape& shape, std::int64_t count) {
  BatchShape batch{};
  batch.impressions = config.batch_size;
  batch.common_rows = std::max(1L, std::lround(static_cast<double>(config.batch_size) / shape.impressions));
  batch.sample_fields = std::lround(shape.sample_fields);
  batch.common_fields = std::lround(shape.common_fields);
  batch.sample_ids = shape.sample_ids / static_cast<double>(batch.sample_fields);
  batch.common_ids = shape.common_ids / static_cast<double>(batch.common_fields);
  batch.table_rows = std::lround(shape.rows);
  const Vocabulary vocabulary({{"ids", Encoding::hash, static_cast<std::uint32_t>(batch.table_rows), 0, {}}}, 1);
  StepSource source;
  source.spec = make_model_spec(config, shared_table_schema(batch.sample_fields, batch.common_fields), vocabulary, {});
  std::mt19937 random(static_cast<std::mt19937::result_type>(config.seed));
  for (std::int64_t b = 0; b < count; ++b) source.batches.push_back(random_batch(batch, random));
  return source;
}

}  // namespace esmm::bench
