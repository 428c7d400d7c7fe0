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

using test::MemoryImpression;
using test::MemoryLog;
using test::TemporaryDirectory;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

PackOptions keep_all() {
  PackOptions options;
  options.min_count = 1;
  options.threads = 1;
  return options;
}

/// A bag as (embedding row, value) pairs, in their stored order.
using Bag = std::vector<std::pair<std::uint32_t, float>>;

struct PackedImpression {
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
std::map<std::uint64_t, PackedImpression> read_all(const PackedDataset& dataset) {
  std::map<std::uint64_t, PackedImpression> all;
  Block block;
  for (std::size_t b = 0; b < dataset.block_count(); ++b) {
    dataset.decode(b, block, true);
    const std::size_t dense = dataset.schema().dense.size();
    for (std::size_t u = 0; u < block.common_rows(); ++u)
      for (std::size_t i = block.common_begin[u]; i < block.common_begin[u + 1]; ++i) {
        PackedImpression& impression = all[block.input_index[i]];
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
    const PackedImpression& found = all.at(index++);
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
  MemoryLog log = test::random_log({.common_rows = 40, .impressions = 2000});
  pack(log, directory / "packed", keep_all());
  expect_holds(*PackedDataset::open(directory / "packed"), log);
}

TEST(Pack, KeepsEveryImpressionOfALogWithoutCommonRows) {
  const TemporaryDirectory directory;
  MemoryLog log = test::random_log({.common_rows = 0, .impressions = 9000, .common_fields = 0});
  pack(log, directory / "packed", keep_all());
  const auto dataset = PackedDataset::open(directory / "packed");
  EXPECT_GT(dataset->block_count(), 1U);
  EXPECT_EQ(dataset->shape(0).common_rows, dataset->shape(0).impressions);
  expect_holds(*dataset, log);
}

TEST(Pack, GroupsImpressionsByCommonRowAndStoresEveryCommonRowInOneBlock) {
  const TemporaryDirectory directory;
  MemoryLog log = test::random_log({.common_rows = 300, .impressions = 15000, .most_ids = 1});
  pack(log, directory / "packed", keep_all());
  const auto dataset = PackedDataset::open(directory / "packed");
  ASSERT_GT(dataset->block_count(), 2U);
  std::set<std::string> finished;  // users of earlier groups
  Block block;
  for (std::size_t b = 0; b < dataset->block_count(); ++b) {
    dataset->decode(b, block, false);
    EXPECT_LE(block.impressions(), 4096U);
    EXPECT_EQ(block.sample_id.size(), 0U);
    for (std::size_t u = 0; u < block.common_rows(); ++u) {
      const std::string& user = log.impressions[block.input_index[block.common_begin[u]]].common;
      EXPECT_TRUE(finished.insert(user).second) << user << " is stored twice";
      for (std::size_t i = block.common_begin[u]; i < block.common_begin[u + 1]; ++i) {
        EXPECT_EQ(log.impressions[block.input_index[i]].common, user);
        if (i > block.common_begin[u]) {
          EXPECT_GT(block.input_index[i], block.input_index[i - 1]);
        }
      }
    }
  }
  EXPECT_EQ(finished.size(), dataset->statistics().common_rows);
}

TEST(Pack, WritesTheSameBytesWhateverTheNumberOfThreadsAndTheSizeOfBatches) {
  const TemporaryDirectory directory;
  std::map<std::string, std::string> first;
  for (const int threads : {1, 2, 5}) {
    MemoryLog log = test::random_log({.common_rows = 20000, .impressions = 30000, .most_ids = 2});
    log.rows_per_batch = 100 * static_cast<std::size_t>(threads) + 7;
    PackOptions options = keep_all();
    options.min_count = 3;
    options.threads = threads;
    const std::string packed = directory / fmt::format("packed{}", threads);
    pack(log, packed, options);
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(packed))
      if (entry.is_regular_file())
        files[std::filesystem::relative(entry.path(), packed)] = test::read_bytes(entry.path());
    EXPECT_EQ(files.size(), 2U + 1 + log.schema().tables().size());
    if (first.empty()) first = files;
    EXPECT_EQ(files, first) << threads << " threads";
  }
}

/// One sample field "s0" and one common field "c0"; impressions of user u have sample id `id` with the count wanted.
MemoryLog small_log() {
  MemoryLog log(test::memory_schema(1, 1));
  log.common = {{"a", {{"c0", 1}}}, {"b", {{"c0", 2}}}};
  for (int i = 0; i < 5; ++i) log.impressions.push_back({fmt::format("row{}", i), 0, 0, i < 3 ? "a" : "b", {}, {}});
  return log;
}

TEST(Pack, MinCountKeepsAnIdSeenThatOftenAndDropsOneSeenOnceLess) {
  const TemporaryDirectory directory;
  MemoryLog log = small_log();
  for (int i = 0; i < 3; ++i) log.impressions[static_cast<std::size_t>(i)].features.push_back({"s0", 70});
  for (int i = 0; i < 2; ++i) log.impressions[static_cast<std::size_t>(i)].features.push_back({"s0", 71});
  PackOptions options = keep_all();
  options.min_count = 3;
  pack(log, directory / "packed", options);
  const auto vocabulary = PackedDataset::open(directory / "packed")->vocabulary();
  EXPECT_THAT(vocabulary->tables()[0].ids, ElementsAre(70));
  EXPECT_EQ(vocabulary->tables()[0].distinct_seen, 2U);
  EXPECT_THAT(vocabulary->tables()[1].ids, ElementsAre(1));  // "a" has three impressions, "b" two
  const auto statistics = PackedDataset::open(directory / "packed")->statistics();
  EXPECT_EQ(statistics.fields[0].out_of_vocabulary, 2U);
  EXPECT_EQ(statistics.fields[1].out_of_vocabulary, 1U);
}

TEST(Pack, CountsAnIdOncePerImpressionEvenWhereItIsRepeatedOrOnBothSides) {
  const TemporaryDirectory directory;
  Schema schema = test::memory_schema(2, 1);
  for (Field& field : schema.fields) field.table = "shared";
  MemoryLog log(schema);
  log.common = {{"a", {{"c0", 5}, {"c0", 5}}}, {"b", {}}};
  log.impressions = {{"1", 0, 0, "a", {{"s0", 5}, {"s1", 6}, {"s0", 6}}, {}},   // 5 and 6
                     {"2", 0, 0, "a", {{"s1", 6}, {"s0", 7}, {"s0", 7}}, {}},   // 5, 6 and 7
                     {"3", 0, 0, "b", {{"s1", 7}, {"s0", 6}, {"s1", 5}}, {}}};  // 5, 6 and 7
  PackOptions options = keep_all();
  for (const auto& [min_count, kept] :
       std::map<std::uint32_t, std::vector<std::uint64_t>>{{2, {5, 6, 7}}, {3, {5, 6}}, {4, {}}}) {
    options.min_count = min_count;
    const std::string packed = directory / fmt::format("packed{}", min_count);
    pack(log, packed, options);
    EXPECT_EQ(PackedDataset::open(packed)->vocabulary()->tables().at(0).ids, kept) << "min_count " << min_count;
  }
}

TEST(Pack, CountsNoIdOfARowThatWasDropped) {
  const TemporaryDirectory directory;
  MemoryLog log = small_log();
  log.impressions.push_back({"9", 0, 1, "a", {{"s0", 99}}, {}});  // converted without a click
  log.common.push_back({"unused", {{"c0", 98}}});
  pack(log, directory / "packed", keep_all());
  const auto vocabulary = PackedDataset::open(directory / "packed")->vocabulary();
  for (const Vocabulary::Table& table : vocabulary->tables()) {
    EXPECT_EQ(table.distinct_seen, table.ids.size()) << table.name;
    for (const std::uint64_t id : {98, 99}) EXPECT_THAT(table.ids, Not(Contains(id))) << table.name;
  }
}

TEST(Pack, EncodesWithAGivenVocabularyWithoutCounting) {
  const TemporaryDirectory directory;
  MemoryLog train = test::random_log({.distinct_ids = 30, .seed = 1});
  MemoryLog test = test::random_log({.distinct_ids = 60, .seed = 2});
  pack(train, directory / "train", keep_all());
  PackOptions options = keep_all();
  options.vocabulary = PackedDataset::open(directory / "train")->vocabulary();
  pack(test, directory / "test", options);
  const auto dataset = PackedDataset::open(directory / "test");
  EXPECT_EQ(dataset->vocabulary_hash(), options.vocabulary->hash());
  EXPECT_GT(dataset->statistics().fields[0].out_of_vocabulary, 0U);
  expect_holds(*dataset, test);
}

TEST(Pack, RefusesAVocabularyThatLacksATable) {
  const TemporaryDirectory directory;
  MemoryLog log = small_log();
  PackOptions options = keep_all();
  options.vocabulary =
      std::make_shared<const Vocabulary>(std::vector<Vocabulary::Table>{{"s0", Encoding::hash, 9, 0, {}}}, 1);
  try {
    pack(log, directory / "packed", options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_THAT(error.what(), HasSubstr("no table c0"));
  }
}

TEST(Pack, HashesIdsIntoBucketsWithoutCounting) {
  const TemporaryDirectory directory;
  MemoryLog log = test::random_log({});
  PackOptions options = keep_all();
  options.encoding = Encoding::hash;
  options.buckets = 16;
  pack(log, directory / "packed", options);
  const auto dataset = PackedDataset::open(directory / "packed");
  EXPECT_EQ(dataset->vocabulary()->tables()[0].rows, 16U);
  EXPECT_EQ(dataset->statistics().fields[0].out_of_vocabulary, 0U);
  expect_holds(*dataset, log);
}

TEST(Pack, DropsContradictionsByDefaultAndNumbersTheOthersWithoutGaps) {
  const TemporaryDirectory directory;
  MemoryLog log = small_log();
  log.impressions[1].conversion = 1;
  pack(log, directory / "packed", keep_all());
  const auto dataset = PackedDataset::open(directory / "packed");
  EXPECT_EQ(dataset->statistics().contradictions, 1U);
  EXPECT_EQ(dataset->statistics().contradictions_dropped, 1U);
  EXPECT_EQ(dataset->statistics().conversions, 0U);
  log.impressions.erase(log.impressions.begin() + 1);
  expect_holds(*dataset, log);
}

TEST(Pack, KeepsContradictionsWhenAsked) {
  const TemporaryDirectory directory;
  MemoryLog log = small_log();
  log.impressions[1].conversion = 1;
  PackOptions options = keep_all();
  options.on_contradiction = OnContradiction::keep;
  pack(log, directory / "packed", options);
  const auto dataset = PackedDataset::open(directory / "packed");
  EXPECT_EQ(dataset->statistics().contradictions, 1U);
  EXPECT_EQ(dataset->statistics().contradictions_dropped, 0U);
  expect_holds(*dataset, log);
}

/// Packs `log`, which must fail, and returns the error. Nothing may be left behind.
Error pack_error(MemoryLog& log, const PackOptions& options) {
  const TemporaryDirectory directory;
  try {
    pack(log, directory / "packed", options);
  } catch (const Error& error) {
    EXPECT_TRUE(std::filesystem::is_empty(directory.path())) << "files were left behind";
    return error;
  }
  ADD_FAILURE() << "pack succeeded";
  return {ExitCode::ok, ""};
}

TEST(Pack, NamesFileAndLineOfAContradictionWhenThatIsAnError) {
  MemoryLog log = small_log();
  log.impressions[1].conversion = 1;
  PackOptions options = keep_all();
  options.on_contradiction = OnContradiction::error;
  const Error error = pack_error(log, options);
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_THAT(error.what(), HasSubstr("impressions.csv:2: conversion = 1 with click = 0"));
}

TEST(Pack, FailsWithTheFirstBadRowInFileOrder) {
  MemoryLog log = small_log();
  log.impressions[1].common = "nobody";
  log.bad_impressions = {{2, {BadRowKind::label, "impressions.csv:3: click is 7.", 3}}};
  log.rows_per_batch = 5;
  EXPECT_THAT(pack_error(log, keep_all()).what(), HasSubstr("impressions.csv:2: refers to a common row that"));
  log.impressions[1].common = "a";
  EXPECT_THAT(pack_error(log, keep_all()).what(), HasSubstr("impressions.csv:3: click is 7."));
}

TEST(Pack, SkipsAndCountsBadRowsByKindWhenAsked) {
  const TemporaryDirectory directory;
  MemoryLog log = small_log();
  log.common.push_back({"a", {{"c0", 9}}});  // the first definition counts
  log.common.push_back({"unused", {{"c0", 8}}});
  log.impressions[4].common = "nobody";
  log.bad_impressions = {{2, {BadRowKind::label, "impressions.csv:3: click is 7.", 3}}};
  PackOptions options = keep_all();
  options.on_bad_row = OnBadRow::skip;
  std::vector<std::string> warnings;
  options.warn = [&](const std::string& line) { warnings.push_back(line); };
  pack(log, directory / "packed", options);
  const auto dataset = PackedDataset::open(directory / "packed");
  const auto& bad = dataset->statistics().bad_rows;
  EXPECT_EQ(bad[static_cast<std::size_t>(BadRowKind::duplicate_common)], 1U);
  EXPECT_EQ(bad[static_cast<std::size_t>(BadRowKind::unknown_common)], 1U);
  EXPECT_EQ(bad[static_cast<std::size_t>(BadRowKind::label)], 1U);
  EXPECT_EQ(warnings.size(), 3U);
  EXPECT_EQ(dataset->statistics().common_rows, 2U);
  EXPECT_EQ(dataset->statistics().unused_common_rows, 1U);
  log.impressions.pop_back();
  log.common.resize(2);
  expect_holds(*dataset, log);
}

TEST(Pack, FailsWhenNoImpressionIsUsable) {
  MemoryLog log = small_log();
  for (auto& impression : log.impressions) impression.conversion = 1;
  const Error error = pack_error(log, keep_all());
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_THAT(error.what(), HasSubstr("no usable impression"));
}

TEST(Pack, RefusesToWriteOverWhatExists) {
  const TemporaryDirectory directory;
  MemoryLog log = small_log();
  pack(log, directory / "packed", keep_all());
  try {
    pack(log, directory / "packed", keep_all());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
  }
}

TEST(Pack, CountsASharedTableWhenTheFirstCommonRowIsEmpty) {
  const TemporaryDirectory directory;
  Schema schema = test::memory_schema(1, 1, 0);
  for (Field& field : schema.fields) field.table = "item";
  MemoryLog log(schema);
  log.common = {{"a", {}}, {"b", {{"c0", 5}}}};
  log.impressions = {{"1", 0, 0, "a", {{"s0", 5}}, {}}, {"2", 1, 0, "b", {{"s0", 6}}, {}}};
  PackOptions options = keep_all();
  options.threads = 1;
  pack(log, directory / "packed", options);
  EXPECT_EQ(PackedDataset::open(directory / "packed")->vocabulary()->tables()[0].distinct_seen, 2U);
}

TEST(Pack, ReportsStatisticsOfFieldsAndDenseColumns) {
  const TemporaryDirectory directory;
  MemoryLog log(test::memory_schema(1, 1, 1));
  log.common = {{"a", {{"c0", 1, 0.5F}, {"c0", 2, 4.0F}}}, {"b", {}}};
  const float missing = std::nanf("");
  log.impressions = {{"1", 1, 1, "a", {{"s0", 3}}, {1.0F}},
                     {"2", 1, 0, "a", {}, {missing}},
                     {"3", 0, 0, "b", {{"s0", 3}, {"s0", 4}}, {2.0F}},
                     {"4", 0, 0, "b", {}, {6.0F}}};
  pack(log, directory / "packed", keep_all());
  const auto dataset = PackedDataset::open(directory / "packed");
  const DatasetStatistics& s = dataset->statistics();
  EXPECT_EQ(s.impressions, 4U);
  EXPECT_EQ(s.clicks, 2U);
  EXPECT_EQ(s.conversions, 1U);
  EXPECT_EQ(s.common_rows, 2U);
  EXPECT_EQ(s.text_bytes, 600U);
  EXPECT_EQ(s.fields[0].ids, 3U);
  EXPECT_EQ(s.fields[0].missing_rows, 2U);
  EXPECT_EQ(s.fields[0].most_ids, 2U);
  EXPECT_EQ(s.fields[0].impression_ids, 3U);
  EXPECT_EQ(s.fields[1].ids, 2U);             // once per common row
  EXPECT_EQ(s.fields[1].impression_ids, 4U);  // its two impressions have two each
  EXPECT_EQ(s.fields[1].missing_rows, 1U);
  EXPECT_EQ(s.fields[1].value_min, 0.5F);
  EXPECT_EQ(s.fields[1].value_max, 4.0F);
  // 1, 2, 6: mean 3, variance (4 + 1 + 9) / 3. A handful of double operations: 1e-14 is 45 epsilon.
  EXPECT_NEAR(s.dense[0].mean, 3.0, 1e-14);
  EXPECT_NEAR(s.dense[0].std, std::sqrt(14.0 / 3.0), 1e-14);
  EXPECT_EQ(s.dense[0].min, 1.0);
  EXPECT_EQ(s.dense[0].max, 6.0);
  EXPECT_EQ(s.dense[0].missing, 1U);
}

TEST(Pack, KeepsSampleIdsOfEveryForm) {
  const TemporaryDirectory directory;
  MemoryLog log = small_log();
  for (const auto& ids : std::vector<std::vector<std::string>>{{"18446744073709551615", "0", "7", "9", "8"},
                                                               {"007", "7", "", "x y", "18446744073709551616"}}) {
    for (std::size_t i = 0; i < ids.size(); ++i) log.impressions[i].sample_id = ids[i];
    const std::string packed = directory / ("packed" + ids[0]);
    pack(log, packed, keep_all());
    expect_holds(*PackedDataset::open(packed), log);
  }
}

TEST(Pack, KeepsAnUnlabelledLogWithoutLabels) {
  const TemporaryDirectory directory;
  MemoryLog log = small_log();
  log.with_labels = false;
  pack(log, directory / "packed", keep_all());
  EXPECT_FALSE(PackedDataset::open(directory / "packed")->labelled());
}

}  // namespace
}  // namespace esmm
