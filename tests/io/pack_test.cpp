#include "io/pack.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "io/packed.hpp"
#include "kernels/error.hpp"
#include "tests/support/memory_log.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using test::MemoryImpression;
using test::MemoryLog;
using test::TemporaryDirectory;

PackOptions keep_all() {
  PackOptions options;
  options.min_count = 1;
  options.threads = 1;
  return options;
}

/// A bag as (embedding row, value) pairs, in their stored order.
using Bag = std::vector<std::pair<std::uint32_t, float>>;

struct Impression {
  std::string sample_id;
  int click = 0, conversion = 0;
  std::vector<Bag> sample, common;
  std::vector<float> dense;
};

std::vector<Bag> bags_of_row(const BagColumns& columns, std::size_t row) {
  std::vector<Bag> bags(columns.fields);
  for (std::size_t f = 0; f < bags.size(); ++f)
    for (std::uint32_t i = columns.offsets[row * bags.size() + f]; i < columns.offsets[row * bags.size() + f + 1]; ++i)
      bags[f].emplace_back(columns.rows[i], columns.values.empty() ? 1.0F : columns.values[i]);
  return bags;
}

/// Every impression of a packed dataset by its place in the input.
std::map<std::uint64_t, Impression> read_all(const PackedDataset& dataset) {
  std::map<std::uint64_t, Impression> all;
  Block block;
  for (std::size_t b = 0; b < dataset.block_count(); ++b) {
    dataset.decode(b, block, true);
    const std::size_t dense = dataset.schema().dense.size();
    for (std::size_t u = 0; u < block.common_rows(); ++u)
      for (std::size_t i = block.common_begin[u]; i < block.common_begin[u + 1]; ++i) {
        Impression& impression = all[block.input_index[i]];
        impression.sample_id = block.sample_id[i];
        impression.click = block.click[i];
        impression.conversion = block.conversion[i];
        impression.sample = bags_of_row(block.sample, i);
        impression.common = bags_of_row(block.common, u);
        for (std::size_t e = 0; e < dense; ++e) impression.dense.push_back(block.dense[i * dense + e]);
      }
  }
  return all;
}

/// What the features of a row should become: per field of the side, by embedding row, ties in the order of the text.
std::vector<Bag> expected_bags(const Schema& schema, Side side, const Vocabulary& vocabulary,
                               const std::vector<test::MemoryFeature>& features) {
  std::vector<Bag> bags;
  for (const Field& field : schema.side(side)) {
    Bag& bag = bags.emplace_back();
    for (const auto& feature : features)
      if (feature.field == field.name)
        bag.emplace_back(vocabulary.encode(vocabulary.find_table(field.table), feature.id), feature.value);
    std::stable_sort(bag.begin(), bag.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  }
  return bags;
}

void expect_holds(const PackedDataset& dataset, const MemoryLog& log) {
  const auto all = read_all(dataset);
  ASSERT_EQ(all.size(), log.impressions.size());
  std::map<std::string, const test::MemoryCommonRow*> common;
  for (const auto& row : log.common) common[row.key] = &row;
  std::uint64_t index = 0;
  for (const MemoryImpression& expected : log.impressions) {
    const Impression& found = all.at(index++);
    EXPECT_EQ(found.sample_id, expected.sample_id);
    EXPECT_EQ(found.click, expected.click);
    EXPECT_EQ(found.conversion, expected.conversion);
    const auto vocabulary = dataset.vocabulary();
    EXPECT_EQ(found.sample, expected_bags(log.schema(), Side::sample, *vocabulary, expected.features));
    if (log.has_common()) {
      EXPECT_EQ(found.common,
                expected_bags(log.schema(), Side::common, *vocabulary, common.at(expected.common)->features));
    }
    ASSERT_EQ(found.dense.size(), expected.dense.size());
    for (std::size_t e = 0; e < found.dense.size(); ++e)
      EXPECT_TRUE(found.dense[e] == expected.dense[e] || (std::isnan(found.dense[e]) && std::isnan(expected.dense[e])));
  }
}

TEST(Pack, KeepsEveryImpressionOfALogWithCommonRows) {
  const TemporaryDirectory directory;
  MemoryLog log = testing::random_log({.common_rows = 40, .impressions = 2000});
  pack(log, directory / "packed", keep_all());
  expect_holds(*PackedDataset::open(directory / "packed"), log);
}

TEST(Pack, KeepsEveryImpressionOfALogWithoutCommonRows) {
  const TemporaryDirectory directory;
  MemoryLog log = testing::random_log({.common_rows = 0, .impressions = 9000, .common_fields = 0});
  pack(log, directory / "packed", keep_all());
  const auto dataset = PackedDataset::open(directory / "packed");
  EXPECT_GT(dataset->block_count(), 1U);
  EXPECT_EQ(dataset->shape(0).common_rows, dataset->shape(0).impressions);
  expect_holds(*dataset, log);
}

}  // namespace
}  // namespace esmm
