#include "io/id_codes.hpp"

#include <gmock/gmock.h>

#include <random>

#include "tests/support/memory_log.hpp"

namespace esmm {
namespace {

using ::testing::ElementsAre;

/// One row: pairs of field and id.
FeatureRows one_row(const std::vector<std::pair<int, std::uint64_t>>& features) {
  FeatureRows rows;
  for (const auto& [field, id] : features) {
    rows.field.push_back(static_cast<std::uint16_t>(field));
    rows.id.push_back(id);
    rows.value.push_back(1);
  }
  rows.row_end.push_back(features.size());
  return rows;
}

TEST(IdCodes, CountUpOverAllTablesAsIdsAreFirstMet) {
  Schema schema = test::memory_schema(2, 1);
  schema.fields[2].table = "s1";  // c0 shares it
  ThreadPool pool(1);
  IdCodes ids(schema, nullptr, pool);
  std::vector<std::uint32_t> codes;
  ids.encode(one_row({{0, 7}, {0, 7}, {0, 8}}), Side::common, codes);
  EXPECT_THAT(codes, ElementsAre(1, 1, 2));
  ids.encode(one_row({{0, 7}, {1, 7}, {1, 9}, {0, 7}}), Side::sample, codes);
  EXPECT_THAT(codes, ElementsAre(3, 1, 4, 3));  // s0 has a 7 of its own
  EXPECT_EQ(ids.last(), 4U);
  EXPECT_EQ(ids.take(1).size(), 3U);
}

TEST(IdCodes, AreTheSameWhateverTheNumberOfThreads) {
  std::mt19937_64 random(5);
  std::vector<std::pair<int, std::uint64_t>> features;  // several slices of 2^14, most ids more than once
  for (int i = 0; i < 100'000; ++i) features.emplace_back(i % 3, random() % 20'000);
  const FeatureRows rows = one_row(features);
  std::vector<std::uint32_t> expected;
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    IdCodes ids(test::memory_schema(3, 0), nullptr, pool);
    std::vector<std::uint32_t> first, second;
    ids.encode(rows, Side::sample, first);
    ids.encode(rows, Side::sample, second);
    EXPECT_EQ(first, second);
    if (expected.empty()) expected = first;
    EXPECT_EQ(first, expected) << threads << " threads";
  }
}

TEST(IdCodes, AreRowsWhereTheVocabularyIsKnown) {
  ThreadPool pool(1);
  const auto vocabulary =
      std::make_shared<const Vocabulary>(std::vector<Vocabulary::Table>{{"s0", Encoding::vocab, 3, 2, {50, 40}}}, 1);
  IdCodes ids(test::memory_schema(1, 0), vocabulary, pool);
  std::vector<std::uint32_t> codes;
  ids.encode(one_row({{0, 40}, {0, 41}, {0, 50}}), Side::sample, codes);
  EXPECT_THAT(codes, ElementsAre(2, 0, 1));
  EXPECT_EQ(ids.last(), 0U);
}

}  // namespace
}  // namespace esmm
