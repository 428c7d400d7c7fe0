#include "engine/leaks.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <unordered_map>

#include "kernels/backend.hpp"

namespace esmm {

namespace {

constexpr std::size_t kMostBytes = 512U << 20;
constexpr std::uint32_t kMissing = std::numeric_limits<std::uint32_t>::max();  // a missing id may leak too

/// The columns that are looked at, for a sample of the impressions.
struct Columns {
  std::vector<std::size_t> fields;              // indices of the single-valued sample fields
  std::vector<std::vector<std::uint32_t>> ids;  // [fields][n]
  std::vector<std::vector<float>> dense;        // [E][n]
  std::vector<std::uint8_t> click, conversion;  // [n]
  std::vector<std::uint8_t> fitting;            // [n] which half an impression is in; a common row is in one
};

void append(const Block& block, Columns& columns) {
  for (std::size_t u = 0; u < block.common_rows(); ++u) {
    columns.fitting.insert(columns.fitting.end(), block.common_begin[u + 1] - block.common_begin[u], u % 2 == 0);
  }
  columns.click.insert(columns.click.end(), block.click.begin(), block.click.end());
  columns.conversion.insert(columns.conversion.end(), block.conversion.begin(), block.conversion.end());
  for (std::size_t b = 0; b < block.impressions(); ++b) {
    for (std::size_t i = 0; i < columns.fields.size(); ++i) {
      const std::size_t bag = b * block.sample.fields + columns.fields[i];
      const std::uint32_t begin = block.sample.offsets[bag];
      columns.ids[i].push_back(begin < block.sample.offsets[bag + 1] ? block.sample.rows[begin] : kMissing);
    }
    for (std::size_t e = 0; e < columns.dense.size(); ++e) {
      const float value = block.dense[b * columns.dense.size() + e];
      columns.dense[e].push_back(std::isnan(value) ? std::numeric_limits<float>::lowest() : value);
    }
  }
}

Columns read_columns(const PackedDataset& dataset, std::size_t most_impressions) {
  Columns columns;
  const Schema& schema = dataset.schema();
  for (std::size_t f = 0; f < schema.fields.size(); ++f) {
    if (schema.fields[f].side == Side::sample && dataset.statistics().fields[f].most_ids == 1)
      columns.fields.push_back(f);
  }
  columns.ids.resize(columns.fields.size());
  columns.dense.resize(schema.dense.size());
  const std::size_t width = columns.ids.size() + columns.dense.size();
  if (width == 0) return columns;
  const std::size_t most = std::min(most_impressions, kMostBytes / (sizeof(float) * width));
  const std::size_t stride = dataset.statistics().impressions / most + 1;  // blocks spread over the whole dataset
  Block block;
  for (std::size_t i = 0; i < dataset.block_count(); i += stride) {
    dataset.decode(i, block, /*with_sample_ids=*/false);
    append(block, columns);
  }
  return columns;
}

/// Scores and labels of the impressions that a feature is tested on.
struct Ranking {
  std::vector<float> scores;
  std::vector<std::uint8_t> labels;

  [[nodiscard]] std::optional<double> auc(Backend& backend) const {
    const auto positives = static_cast<std::size_t>(std::count(labels.begin(), labels.end(), 1));
    if (positives < kLeakLabels || labels.size() - positives < kLeakLabels) return std::nullopt;
    return esmm::auc(backend, scores, labels);
  }
};

/// Whether impression i counts for the target: conversions are looked at among clicked impressions only.
bool counts(const Columns& columns, bool of_conversion, std::size_t i) {
  return !of_conversion || columns.click[i] != 0;
}

Ranking rank_by_id_rate(const Columns& columns, const std::vector<std::uint32_t>& ids, bool of_conversion) {
  const std::vector<std::uint8_t>& labels = of_conversion ? columns.conversion : columns.click;
  struct Rate {
    double positives = 0, count = 0;
  };
  std::unordered_map<std::uint32_t, Rate> rates;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (columns.fitting[i] == 0 || !counts(columns, of_conversion, i)) continue;
    Rate& rate = rates[ids[i]];
    rate.positives += labels[i];
    rate.count += 1;
  }
  Ranking ranking;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (columns.fitting[i] != 0 || !counts(columns, of_conversion, i)) continue;
    const auto found = rates.find(ids[i]);
    if (found == rates.end()) continue;
    ranking.scores.push_back(static_cast<float>(found->second.positives / found->second.count));
    ranking.labels.push_back(labels[i]);
  }
  return ranking;
}

Ranking rank_by_value(const Columns& columns, const std::vector<float>& values, bool of_conversion) {
  const std::vector<std::uint8_t>& labels = of_conversion ? columns.conversion : columns.click;
  Ranking ranking;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!counts(columns, of_conversion, i)) continue;
    ranking.scores.push_back(values[i]);
    ranking.labels.push_back(labels[i]);
  }
  return ranking;
}

}  // namespace

std::vector<Leak> find_leaks(const PackedDataset& dataset, std::size_t most_impressions) {
  std::vector<Leak> leaks;
  if (!dataset.labelled()) return leaks;
  const std::unique_ptr<Backend> backend = make_cpu_backend(1);
  const Columns columns = read_columns(dataset, most_impressions);
  for (const bool of_conversion : {false, true}) {
    const auto check = [&](const std::string& feature, std::optional<double> auc) {
      if (auc && *auc > kLeakAuc) leaks.push_back({feature, of_conversion ? "conversion" : "click", *auc});
    };
    for (std::size_t i = 0; i < columns.fields.size(); ++i) {
      check(dataset.schema().fields[columns.fields[i]].name,
            rank_by_id_rate(columns, columns.ids[i], of_conversion).auc(*backend));
    }
    for (std::size_t e = 0; e < columns.dense.size(); ++e) {
      std::optional<double> auc = rank_by_value(columns, columns.dense[e], of_conversion).auc(*backend);
      if (auc) auc = std::max(*auc, 1 - *auc);  // a falling value tells as much as a rising one
      check(dataset.schema().dense[e], auc);
    }
  }
  return leaks;
}

}  // namespace esmm
