#include "io/batch_assembly.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "io/unit_sequence.hpp"
#include "tests/support/expanded_batch.hpp"

namespace esmm {
namespace {

using test::expand;
using test::expect_same;
using test::expect_well_formed;
using test::Impression;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint32_t sample_fields = 3, common_fields = 2, dense_columns = 2;

BagColumns random_bags(std::mt19937& random, std::size_t rows, std::uint32_t fields, bool values) {
  BagColumns bags;
  bags.fields = fields;
  bags.offsets.push_back(0);
  for (std::size_t bag = 0; bag < rows * fields; ++bag) {
    for (std::size_t count = random() % 4; count > 0; --count) {
      bags.rows.push_back(static_cast<std::uint32_t>(random() % 100));
      if (values) bags.values.push_back(static_cast<float>(random() % 1000) / 100.0F - 3.0F);
    }
    bags.offsets.push_back(static_cast<std::uint32_t>(bags.rows.size()));
  }
  return bags;
}

/// Groups of the given sizes; input_index counts on from `first_index`.
Block random_block(const std::vector<std::uint32_t>& groups, std::uint64_t first_index, bool values) {
  std::mt19937 random(static_cast<unsigned>(first_index + groups.size()));
  Block block;
  block.common_begin.push_back(0);
  for (const std::uint32_t size : groups) block.common_begin.push_back(block.common_begin.back() + size);
  const std::size_t impressions = block.common_begin.back();
  block.sample = random_bags(random, impressions, sample_fields, values);
  block.common = random_bags(random, groups.size(), common_fields, values);
  for (std::size_t i = 0; i < impressions; ++i) {
    for (std::uint32_t c = 0; c < dense_columns; ++c) {
      block.dense.push_back(random() % 5 == 0 ? std::numeric_limits<float>::quiet_NaN()
                                              : static_cast<float>(random() % 1000) / 10.0F);
    }
    block.click.push_back(random() % 2);
    block.conversion.push_back(random() % 2);
    block.input_index.push_back(first_index + i);
    block.sample_id.push_back("id" + std::to_string(first_index + i));
  }
  return block;
}

/// Each field with its own first row, so that a mixed-up field shows.
ModelInputs inputs(Pooling pooling = Pooling::weighted_sum, ValueTransform transform = ValueTransform::raw) {
  ModelInputs result;
  for (std::uint32_t f = 0; f < sample_fields + common_fields; ++f) {
    result.fields.push_back({1000 * f, pooling, transform, 2.0F});
  }
  result.dense = {{20.0F, 0.5F}, {7.0F, 0.0F}};
  return result;
}

LoaderOptions with_everything() {
  LoaderOptions options;
  options.with_input_index = options.with_sample_ids = true;
  return options;
}

/// One batch of a whole block.
HostBatch whole(const Block& block) {
  std::vector<Piece> pieces;
  for (std::uint32_t u = 0; u < block.common_rows(); ++u) {
    pieces.push_back({&block, u, block.common_begin[u], block.common_begin[u + 1]});
  }
  HostBatch batch;
  assemble(pieces, with_everything(), batch);
  return batch;
}

TEST(BatchAssembly, FoldsPoolingAndTransformsIntoWeightsAsDefined) {
  for (const bool values : {false, true}) {
    for (const Pooling pooling : {Pooling::weighted_sum, Pooling::sum, Pooling::mean, Pooling::sqrtn}) {
      for (const ValueTransform transform : {ValueTransform::raw, ValueTransform::log1p, ValueTransform::clipped}) {
        Block block = random_block({3, 1, 5}, 0, values);
        const auto expected = expand(block, inputs(pooling, transform));
        apply_inputs(block, inputs(pooling, transform));
        const HostBatch batch = whole(block);
        expect_well_formed(batch);
        const auto actual = expand(batch);
        ASSERT_EQ(actual.size(), expected.size());
        for (std::size_t i = 0; i < expected.size(); ++i) expect_same(actual[i], expected[i]);
      }
    }
  }
}

TEST(BatchAssembly, FoldsFieldsOfDifferentKindsSideBySide) {
  ModelInputs mixed = inputs();
  mixed.fields[0].pooling = Pooling::mean;
  mixed.fields[1].transform = ValueTransform::log1p;
  mixed.fields[3].pooling = Pooling::sum;
  mixed.fields[4].transform = ValueTransform::clipped;
  for (const bool values : {false, true}) {
    Block block = random_block({2, 4}, 0, values);
    const auto expected = expand(block, mixed);
    apply_inputs(block, mixed);
    const auto actual = expand(whole(block));
    for (std::size_t i = 0; i < expected.size(); ++i) expect_same(actual[i], expected[i]);
  }
}

TEST(BatchAssembly, HasNoWeightsExactlyWhenTheyAreAll1) {
  const auto weighted = [](bool values, Pooling pooling, ValueTransform transform, float clip) {
    Block block = random_block({3, 2}, 0, values);
    ModelInputs model = inputs(pooling, transform);
    for (FieldInput& field : model.fields) field.clip = clip;
    apply_inputs(block, model);
    const HostBatch batch = whole(block);
    EXPECT_EQ(batch.sample_weights.empty(), batch.common_weights.empty());
    return !batch.sample_weights.empty();
  };
  EXPECT_FALSE(weighted(false, Pooling::weighted_sum, ValueTransform::raw, 1));
  EXPECT_FALSE(weighted(false, Pooling::weighted_sum, ValueTransform::clipped, 1));
  EXPECT_TRUE(weighted(false, Pooling::weighted_sum, ValueTransform::clipped, 0.5F));
  EXPECT_TRUE(weighted(false, Pooling::weighted_sum, ValueTransform::log1p, 1));
  EXPECT_TRUE(weighted(true, Pooling::weighted_sum, ValueTransform::raw, 1));
  EXPECT_FALSE(weighted(false, Pooling::sum, ValueTransform::log1p, 1));
  EXPECT_FALSE(weighted(true, Pooling::sum, ValueTransform::log1p, 1));
  EXPECT_TRUE(weighted(false, Pooling::mean, ValueTransform::raw, 1));
  EXPECT_TRUE(weighted(true, Pooling::sqrtn, ValueTransform::raw, 1));
}

TEST(BatchAssembly, GivesUnweightedBlocksTheWeight1BesideWeightedOnes) {
  Block plain = random_block({2, 3}, 0, false);
  Block valued = random_block({4}, 5, true);
  auto expected = expand(plain, inputs());
  const auto more = expand(valued, inputs());
  expected.insert(expected.end(), more.begin(), more.end());
  apply_inputs(plain, inputs());
  apply_inputs(valued, inputs());
  const std::vector<Piece> pieces = {{&plain, 0, 0, 2}, {&plain, 1, 2, 5}, {&valued, 0, 0, 4}};
  HostBatch batch;
  assemble(pieces, with_everything(), batch);
  EXPECT_EQ(batch.sample_weights.size(), batch.sample_rows.size());
  const auto actual = expand(batch);
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) expect_same(actual[i], expected[i]);
}

TEST(BatchAssembly, ReusesABatchWithoutLeavingAnythingBehind) {
  Block large = random_block({9, 9, 9}, 0, true);
  Block small = random_block({1, 2}, 100, false);
  apply_inputs(large, inputs());
  apply_inputs(small, inputs());
  HostBatch batch = whole(large);
  const std::vector<Piece> pieces = {{&small, 1, 1, 3}};
  assemble(pieces, with_everything(), batch);
  expect_well_formed(batch);
  EXPECT_THAT(batch.sample_weights, IsEmpty());
  EXPECT_EQ(batch.sample_id.size(), 2U);
  const HostBatch all = whole(small);
  EXPECT_EQ(expand(batch), (std::vector<Impression>{expand(all)[1], expand(all)[2]}));

  LoaderOptions bare;
  assemble(pieces, bare, batch);
  EXPECT_THAT(batch.input_index, IsEmpty());
  EXPECT_EQ(batch.sample_id.size(), 0U);
}

TEST(BatchAssembly, SharesACommonRowBetweenAdjacentPieces) {
  Block block = random_block({4, 3}, 0, true);
  apply_inputs(block, inputs());
  HostBatch batch;
  assemble(std::vector<Piece>{{&block, 0, 0, 1}, {&block, 0, 2, 4}, {&block, 1, 5, 6}}, with_everything(), batch);
  EXPECT_THAT(batch.common_begin, ElementsAre(0, 3, 4));
  EXPECT_THAT(batch.input_index, ElementsAre(0, 2, 3, 5));
}

TEST(BatchAssembly, MakesMissingAndConstantDenseColumns0) {
  Block block = random_block({50}, 0, false);
  const std::vector<float> before = block.dense;
  apply_inputs(block, inputs());
  for (std::size_t i = 0; i < before.size(); i += 2) {
    EXPECT_FLOAT_EQ(block.dense[i], std::isnan(before[i]) ? 0.0F : (before[i] - 20.0F) / 2.0F);
    EXPECT_EQ(block.dense[i + 1], 0.0F);
  }
}

// ---- Cutting -------------------------------------------------------------------------------------------------------

std::vector<std::unique_ptr<Block>> two_blocks() {
  std::vector<std::unique_ptr<Block>> blocks;
  blocks.push_back(std::make_unique<Block>(random_block({3, 1, 6}, 0, false)));
  blocks.push_back(std::make_unique<Block>(random_block({2, 2, 2, 7}, 10, true)));
  for (auto& block : blocks) apply_inputs(*block, inputs());
  return blocks;
}

TEST(UnitSequence, CutsTheSameImpressionsWhateverTheBatchSize) {
  const auto blocks = two_blocks();
  for (const Order order : {Order::sequential, Order::by_common_row, Order::by_impression}) {
    UnitSequence sequence;
    sequence.order_units(blocks, order, {1, 2, 3});
    for (const std::uint64_t size : {1U, 2U, 5U, 22U, 23U}) {
      std::vector<std::uint64_t> seen;
      for (std::uint64_t begin = 0; begin < 23; begin += size) {
        std::vector<Unit> scratch;
        std::vector<Piece> pieces;
        const std::uint64_t end = std::min<std::uint64_t>(begin + size, 23);
        sequence.cut(begin, end, scratch, pieces);
        HostBatch batch;
        assemble(pieces, with_everything(), batch);
        expect_well_formed(batch);
        EXPECT_EQ(batch.click.size(), end - begin);
        seen.insert(seen.end(), batch.input_index.begin(), batch.input_index.end());
      }
      if (order == Order::sequential) {
        EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
      }
      std::sort(seen.begin(), seen.end());
      for (std::size_t i = 0; i < 23; ++i) EXPECT_EQ(seen[i], i);
    }
  }
}

TEST(UnitSequence, GroupsImpressionsByCommonRowEvenWhenShuffledOneByOne) {
  const auto blocks = two_blocks();
  UnitSequence sequence;
  sequence.order_units(blocks, Order::by_impression, {1, 2, 3});
  std::vector<Unit> scratch;
  std::vector<Piece> pieces;
  sequence.cut(0, 23, scratch, pieces);
  HostBatch batch;
  assemble(pieces, with_everything(), batch);
  EXPECT_THAT(batch.common_begin, ElementsAre(0, 3, 4, 10, 12, 14, 16, 23));
}

}  // namespace
}  // namespace esmm
