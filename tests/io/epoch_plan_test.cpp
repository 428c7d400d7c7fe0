#include "io/epoch_plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>

namespace esmm {
namespace {

using ::testing::ElementsAre;

std::vector<BlockSize> some_blocks(std::size_t count) {
  std::vector<BlockSize> blocks;
  for (std::size_t i = 0; i < count; ++i) blocks.push_back({10 + i % 3, 1000 + i % 7});
  return blocks;
}

LoaderOptions plan_options(Order order, std::uint64_t window_bytes, std::int64_t batch_size = 5) {
  LoaderOptions result;
  result.order = order;
  result.window_bytes = window_bytes;
  result.batch_size = batch_size;
  result.seed = 7;
  return result;
}

std::vector<std::uint32_t> all_blocks(const std::vector<Window>& windows) {
  std::vector<std::uint32_t> result;
  for (const Window& window : windows) result.insert(result.end(), window.blocks.begin(), window.blocks.end());
  return result;
}

TEST(EpochPlan, HoldsEveryBlockOnceInWindowsThatFit) {
  const auto blocks = some_blocks(100);
  for (const Order order : {Order::sequential, Order::by_common_row, Order::by_impression}) {
    const auto windows = plan_epoch(blocks, plan_options(order, 5000), 0);
    std::uint64_t seen = 0;
    for (const Window& window : windows) {
      EXPECT_EQ(window.first_impression, seen);
      std::uint64_t bytes = 0, impressions = 0;
      for (const std::uint32_t block : window.blocks) {
        bytes += blocks[block].bytes;
        impressions += blocks[block].impressions;
      }
      EXPECT_LE(bytes, 5000U);
      EXPECT_GT(bytes, &window == &windows.back() ? 0U : 3000U) << "a window that could have held one block more";
      EXPECT_EQ(window.impressions, impressions);
      seen = window.end();
    }
    auto order_of_blocks = all_blocks(windows);
    std::sort(order_of_blocks.begin(), order_of_blocks.end());
    std::vector<std::uint32_t> expected(100);
    std::iota(expected.begin(), expected.end(), 0U);
    EXPECT_EQ(order_of_blocks, expected);
  }
}

TEST(EpochPlan, KeepsTheOrderOfTheBlocksOnlyWhenSequential) {
  const auto blocks = some_blocks(50);
  const auto sequential = all_blocks(plan_epoch(blocks, plan_options(Order::sequential, 5000), 3));
  EXPECT_TRUE(std::is_sorted(sequential.begin(), sequential.end()));
  const auto first = all_blocks(plan_epoch(blocks, plan_options(Order::by_common_row, 5000), 0));
  const auto second = all_blocks(plan_epoch(blocks, plan_options(Order::by_common_row, 5000), 1));
  auto other_seed = plan_options(Order::by_common_row, 5000);
  other_seed.seed = 8;
  EXPECT_FALSE(std::is_sorted(first.begin(), first.end()));
  EXPECT_NE(first, second);
  EXPECT_NE(first, all_blocks(plan_epoch(blocks, other_seed, 0)));
  EXPECT_EQ(first, all_blocks(plan_epoch(blocks, plan_options(Order::by_common_row, 5000), 0)));
}

TEST(EpochPlan, GivesAWindowAtLeastOneBlockAndOneBatch) {
  const auto blocks = some_blocks(12);
  EXPECT_EQ(plan_epoch(blocks, plan_options(Order::sequential, 1), 0).size(), 12U);
  for (const Window& window : plan_epoch(blocks, plan_options(Order::sequential, 1, 20), 0)) {
    EXPECT_EQ(window.blocks.size(), 2U);
  }
  EXPECT_EQ(plan_epoch(blocks, plan_options(Order::sequential, 1, 1'000'000), 0).size(), 1U);
  EXPECT_TRUE(plan_epoch({}, plan_options(Order::by_common_row, 1), 0).empty());
}

TEST(WindowPlan, HoldsEveryUnitOnce) {
  const std::vector<std::uint32_t> units_per_block = {3, 0, 2};
  std::vector<Unit> units = {{9, 9}};
  plan_window(units_per_block, Order::sequential, {}, units);
  EXPECT_THAT(units, ElementsAre(Unit{0, 0}, Unit{0, 1}, Unit{0, 2}, Unit{2, 0}, Unit{2, 1}));
  const std::vector<Unit> sorted = units;
  plan_window(units_per_block, Order::by_common_row, {1, 2, 3}, units);
  EXPECT_TRUE(std::is_permutation(units.begin(), units.end(), sorted.begin(), sorted.end()));
}

// The order of training data is part of a run's reproducibility across machines, so these values never change.
TEST(WindowPlan, IsTheSameOnEveryPlatform) {
  std::vector<Unit> units;
  plan_window(std::vector<std::uint32_t>{8}, Order::by_common_row, {1, 0, 0}, units);
  std::vector<std::uint32_t> order;
  for (const Unit& unit : units) order.push_back(unit.index);
  EXPECT_THAT(order, ElementsAre(1, 0, 3, 4, 6, 5, 2, 7));
}

// Each of 24 permutations of 4 units is expected 1000 times; chi-square with 23 degrees of freedom exceeds 58.6 with
// probability 6e-5 (and the keys are fixed, so the test either always passes or never does).
TEST(WindowPlan, MakesEveryPermutationEquallyLikely) {
  std::array<int, 256> seen{};
  std::vector<Unit> units;
  for (std::uint64_t epoch = 0; epoch < 24'000; ++epoch) {
    plan_window(std::vector<std::uint32_t>{4}, Order::by_impression, {5, epoch, 0}, units);
    std::size_t code = 0;
    for (const Unit& unit : units) code = code * 4 + unit.index;
    ++seen[code];
  }
  double chi_square = 0;
  int permutations = 0;
  for (const int count : seen) {
    if (count == 0) continue;
    ++permutations;
    chi_square += (count - 1000.0) * (count - 1000.0) / 1000.0;
  }
  EXPECT_EQ(permutations, 24);
  EXPECT_LT(chi_square, 58.6);
}

}  // namespace
}  // namespace esmm
