#include "bench/random_batch.hpp"

#include <algorithm>

namespace esmm::bench {

namespace {

/// Bounds of `pieces` pieces of a whole of pieces · each.
void divide(std::int64_t pieces, double each, std::pmr::vector<std::uint32_t>& bounds) {
  for (std::int64_t i = 0; i <= pieces; ++i)
    bounds.push_back(static_cast<std::uint32_t>(static_cast<double>(i) * each));
}

void draw_rows(std::uint32_t count, std::int64_t table_rows, std::mt19937& random,
               std::pmr::vector<std::uint32_t>& rows, std::pmr::vector<float>& weights) {
  std::uniform_int_distribution<std::uint32_t> row(0, static_cast<std::uint32_t>(table_rows - 1));
  rows.resize(count);
  std::generate(rows.begin(), rows.end(), [&] { return row(random); });
  weights.assign(count, 1.0F);
}

void draw_labels(std::int64_t count, double rate, std::mt19937& random, std::pmr::vector<std::uint8_t>& labels) {
  std::bernoulli_distribution positive(rate);
  labels.resize(static_cast<std::size_t>(count));
  std::generate(labels.begin(), labels.end(), [&] { return positive(random) ? 1 : 0; });
}

}  // namespace

HostBatch random_batch(const BatchShape& shape, std::mt19937& random) {
  HostBatch batch;
  batch.sample_fields = shape.sample_fields;
  batch.common_fields = shape.common_fields;
  divide(shape.impressions * shape.sample_fields, shape.sample_ids, batch.sample_offsets);
  divide(shape.common_rows * shape.common_fields, shape.common_ids, batch.common_offsets);
  draw_rows(batch.sample_offsets.back(), shape.table_rows, random, batch.sample_rows, batch.sample_weights);
  draw_rows(batch.common_offsets.back(), shape.table_rows, random, batch.common_rows, batch.common_weights);
  const auto common_rows = static_cast<double>(std::max<std::int64_t>(1, shape.common_rows));
  divide(shape.common_rows, static_cast<double>(shape.impressions) / common_rows, batch.common_begin);
  if (shape.common_rows > 0) batch.common_begin.back() = static_cast<std::uint32_t>(shape.impressions);
  draw_labels(shape.impressions, 0.04, random, batch.click);
  draw_labels(shape.impressions, 0.01, random, batch.conversion);
  return batch;
}

}  // namespace esmm::bench
