#include "io/range_encoder.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/error.hpp"

namespace esmm {
namespace {

constexpr std::size_t kBlockImpressions = 4096;
constexpr std::size_t kBlockIds = 256U << 10;
constexpr std::uint64_t kMostBlockIds = 1U << 28;  // sizes inside a block are 32 bits

void clear(BagColumns& bags, std::size_t fields) {
  bags.fields = static_cast<std::uint32_t>(fields);
  bags.offsets.assign(1, 0);
  bags.rows.clear();
  bags.values.clear();
}

void clear(Block& block, std::size_t sample_fields, std::size_t common_fields) {
  block.common_begin.assign(1, 0);
  clear(block.sample, sample_fields);
  clear(block.common, common_fields);
  block.dense.clear();
  block.click.clear();
  block.conversion.clear();
  block.input_index.clear();
  block.sample_id.clear();
}

}  // namespace

void Moments::add(float value) {
  if (std::isnan(value)) {
    ++missing;
    return;
  }
  merge({1, 0, value, 0, value, value});
}

void Moments::merge(const Moments& other) {  // Chan, Golub, LeVeque 1979
  missing += other.missing;
  if (other.count == 0) return;
  min = count == 0 ? other.min : std::min(min, other.min);
  max = count == 0 ? other.max : std::max(max, other.max);
  const auto n = static_cast<double>(count), m = static_cast<double>(other.count);
  const double difference = other.mean - mean;
  mean += difference * (m / (n + m));
  squares += other.squares + difference * difference * (n * m / (n + m));
  count += other.count;
}

DatasetStatistics::DenseStatistics Moments::statistics() const {
  const double std = count == 0 ? 0 : std::sqrt(squares / static_cast<double>(count));
  return {mean, std, min, max, missing};
}

DatasetStatistics::FieldStatistics no_ids() {
  DatasetStatistics::FieldStatistics statistics;
  statistics.value_min = std::numeric_limits<float>::infinity();
  statistics.value_max = -std::numeric_limits<float>::infinity();
  return statistics;
}

void merge(DatasetStatistics::FieldStatistics& into, const DatasetStatistics::FieldStatistics& from) {
  into.ids += from.ids;
  into.impression_ids += from.impression_ids;
  into.missing_rows += from.missing_rows;
  into.out_of_vocabulary += from.out_of_vocabulary;
  into.most_ids = std::max(into.most_ids, from.most_ids);
  into.value_min = std::min(into.value_min, from.value_min);
  into.value_max = std::max(into.value_max, from.value_max);
}

RangeEncoder::RangeEncoder(const Schema& schema, const CodedVocabulary& vocabulary)
    : row_of_code_(vocabulary.row_of_code), dense_(schema.dense.size()) {
  for (std::size_t f = 0; f < schema.fields.size(); ++f) {
    const Field& field = schema.fields[f];
    const auto table = static_cast<std::size_t>(vocabulary.vocabulary->find_table(field.table));
    const bool hashed = vocabulary.vocabulary->tables()[table].encoding == Encoding::hash;
    (field.side == Side::sample ? sample_ : common_).push_back({hashed, f});
  }
}

EncodedRange RangeEncoder::encode(const TokenRange& range) {
  EncodedRange out;
  out.fields.assign(sample_.size() + common_.size(), no_ids());
  out.dense.resize(dense_);
  out.common_rows = range.groups();
  out.unused_common_rows = range.unused_common_rows();
  clear(block_, sample_.size(), common_.size());
  for (std::size_t g = 0; g < range.groups(); ++g) {
    const std::size_t impressions = range.impressions(g);
    const std::uint64_t ids = range.ids(g);
    if (ids > kMostBlockIds || impressions > kMostBlockIds)
      throw data_error("one common row has {} impressions with {} ids; {} are possible. Use another common key.",
                       impressions, ids, kMostBlockIds);
    const std::uint64_t held = block_.sample.rows.size() + block_.common.rows.size();
    const bool full = block_.impressions() + impressions > kBlockImpressions || held + ids > kBlockIds;
    if (full && block_.impressions() > 0) close_block(out);
    add_group(range, g, out);
  }
  if (block_.impressions() > 0) close_block(out);
  return out;
}

void RangeEncoder::add_group(const TokenRange& range, std::size_t group, EncodedRange& out) {
  add_row(range.common(group), range.impressions(group), common_, block_.common, out);
  for (std::size_t i = 0; i < range.impressions(group); ++i) {
    const ImpressionTokens impression = range.impression(group, i);
    add_row(impression.features, 1, sample_, block_.sample, out);
    block_.click.push_back(impression.click);
    block_.conversion.push_back(impression.conversion);
    block_.input_index.push_back(impression.input_index);
    block_.sample_id.push_back(impression.sample_id);
    const std::size_t begin = block_.dense.size();
    block_.dense.resize(begin + dense_);
    if (dense_ > 0) std::memcpy(block_.dense.data() + begin, impression.dense, dense_ * sizeof(float));
    for (std::size_t e = 0; e < dense_; ++e) out.dense[e].add(block_.dense[begin + e]);
  }
  block_.common_begin.push_back(static_cast<std::uint32_t>(block_.impressions()));
}

void RangeEncoder::add_row(TokenRow row, std::size_t impressions, const std::vector<FieldEncoding>& fields,
                           BagColumns& bags, EncodedRange& out) {
  bag_end_.assign(fields.size() + 1, 0);
  row.for_each_run([&](std::size_t field, std::size_t begin, std::size_t end) { bag_end_[field + 1] += end - begin; });
  for (std::size_t f = 0; f < fields.size(); ++f) bag_end_[f + 1] += bag_end_[f];
  order_.resize(row.size());  // (embedding row, position) by bag, then sorted within each bag
  row.for_each_run([&](std::size_t field, std::size_t begin, std::size_t end) {
    std::uint64_t* next = order_.data() + bag_end_[field];
    bag_end_[field] += end - begin;
    for (std::size_t i = begin; i < end; ++i) {
      const std::uint32_t code = row.code(i);
      *next++ = std::uint64_t{row_of_code_.empty() ? code : row_of_code_[code]} << 32 | i;
    }
  });
  row.copy_values(values_);

  const std::size_t first = bags.rows.size();
  bags.rows.resize(first + row.size());
  bags.values.resize(first + row.size());
  std::size_t begin = 0;
  for (std::size_t bag = 0; bag < fields.size(); ++bag) {
    const std::size_t end = bag_end_[bag];  // of this bag, now that it is filled
    if (end - begin > 1) std::sort(&order_[begin], &order_[begin] + (end - begin));
    DatasetStatistics::FieldStatistics& statistics = out.fields[fields[bag].index];
    float least = statistics.value_min, greatest = statistics.value_max;
    std::uint64_t unknown = 0;
    for (std::size_t i = begin; i < end; ++i) {
      const auto table_row = static_cast<std::uint32_t>(order_[i] >> 32);
      const float value = values_[static_cast<std::uint32_t>(order_[i])];
      bags.rows[first + i] = table_row;
      bags.values[first + i] = value;
      unknown += table_row == 0 ? 1 : 0;
      least = std::min(least, value);
      greatest = std::max(greatest, value);
    }
    statistics.value_min = least;
    statistics.value_max = greatest;
    if (!fields[bag].hashed) statistics.out_of_vocabulary += unknown;
    statistics.ids += end - begin;
    statistics.impression_ids += (end - begin) * impressions;
    statistics.missing_rows += end == begin ? 1 : 0;
    statistics.most_ids = std::max(statistics.most_ids, static_cast<std::uint32_t>(end - begin));
    bags.offsets.push_back(static_cast<std::uint32_t>(first + end));
    begin = end;
  }
}

void RangeEncoder::close_block(EncodedRange& out) {
  out.blocks.push_back({encoder_.encode(block_), shape_of(block_)});
  clear(block_, sample_.size(), common_.size());
}

}  // namespace esmm
