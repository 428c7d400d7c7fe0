#include "tests/support/memory_log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <random>
#include <stdexcept>

namespace esmm::test {

std::vector<std::string> MemoryLog::files() const {
  return common.empty() ? std::vector<std::string>{"impressions.csv"}
                        : std::vector<std::string>{"common.csv", "impressions.csv"};
}

void MemoryLog::append(const std::vector<MemoryFeature>& features, Side side, FeatureRows& out) const {
  const auto fields = schema_.side(side);
  for (const MemoryFeature& feature : features) {
    const auto found =
        std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return f.name == feature.field; });
    if (found == fields.end()) throw std::invalid_argument("no field " + feature.field + " on this side");
    out.field.push_back(static_cast<std::uint16_t>(found - fields.begin()));
    out.id.push_back(feature.id);
    out.value.push_back(feature.value);
  }
  out.row_end.push_back(out.id.size());
}

void MemoryLog::read_common(const std::function<void(CommonRows&&)>& sink) {
  for (std::size_t begin = 0; begin < common.size(); begin += rows_per_batch) {
    CommonRows rows;
    rows.file = "common.csv";
    for (std::size_t r = begin; r < std::min(begin + rows_per_batch, common.size()); ++r) {
      rows.key.push_back(common_key(common[r].key));
      rows.line.push_back(r + 1);
      rows.text_bytes += 100;
      append(common[r].features, Side::common, rows.features);
    }
    sink(std::move(rows));
  }
}

void MemoryLog::read_impressions(const std::function<void(ImpressionRows&&)>& sink) {
  for (std::size_t begin = 0; begin < impressions.size(); begin += rows_per_batch) {
    ImpressionRows rows;
    rows.file = "impressions.csv";
    for (std::size_t r = begin; r < std::min(begin + rows_per_batch, impressions.size()); ++r) {
      const MemoryImpression& impression = impressions[r];
      for (const auto& [at, bad] : bad_impressions)
        if (at == r) rows.bad.push_back(bad);
      rows.sample_id.push_back(impression.sample_id);
      rows.click.push_back(static_cast<std::uint8_t>(with_labels ? impression.click : 0));
      rows.conversion.push_back(static_cast<std::uint8_t>(with_labels ? impression.conversion : 0));
      if (has_common()) rows.common.push_back(common_key(impression.common));
      append(impression.features, Side::sample, rows.features);
      rows.dense.insert(rows.dense.end(), impression.dense.begin(), impression.dense.end());
      rows.line.push_back(r + 1);
      rows.text_bytes += 100;
    }
    sink(std::move(rows));
  }
}

Schema memory_schema(int sample_fields, int common_fields, int dense) {
  Schema schema;
  const auto add = [&](const char* prefix, int count, Side side) {
    for (int f = 0; f < count; ++f) {
      const std::string name = fmt::format("{}{}", prefix, f);
      schema.fields.push_back({name, side, name});
    }
  };
  add("s", sample_fields, Side::sample);
  add("c", common_fields, Side::common);
  for (int e = 0; e < dense; ++e) schema.dense.push_back(fmt::format("d{}", e));
  return schema;
}

MemoryLog random_log(const RandomLogShape& shape) {
  std::mt19937_64 random(shape.seed);
  const auto below = [&](std::uint64_t limit) { return random() % limit; };
  const auto bags = [&](const char* prefix, int fields) {
    std::vector<MemoryFeature> features;
    for (int f = 0; f < fields; ++f)
      for (std::uint64_t n = below(static_cast<std::uint64_t>(shape.most_ids) + 1); n > 0; --n) {
        const std::uint64_t id = std::min(below(shape.distinct_ids), below(shape.distinct_ids));
        features.push_back(
            {fmt::format("{}{}", prefix, f), id, below(2) == 0 ? 1.0F : static_cast<float>(below(40)) / 8});
      }
    std::shuffle(features.begin(), features.end(), random);
    return features;
  };
  MemoryLog log(memory_schema(shape.sample_fields, shape.common_fields, shape.dense));
  for (int u = 0; u < shape.common_rows; ++u)
    log.common.push_back({fmt::format("user{}", u), bags("c", shape.common_fields)});
  for (int i = 0; i < shape.impressions; ++i) {
    MemoryImpression impression;
    impression.sample_id = std::to_string(i + 1);
    impression.click = below(4) == 0 ? 1 : 0;
    impression.conversion = impression.click == 1 && below(4) == 0 ? 1 : 0;
    if (shape.common_rows > 0)
      impression.common = fmt::format("user{}", below(static_cast<std::uint64_t>(shape.common_rows)));
    impression.features = bags("s", shape.sample_fields);
    for (int e = 0; e < shape.dense; ++e)
      impression.dense.push_back(below(8) == 0 ? std::numeric_limits<float>::quiet_NaN()
                                               : static_cast<float>(below(1000)) / 100);
    log.impressions.push_back(std::move(impression));
  }
  return log;
}

}  // namespace esmm::test
