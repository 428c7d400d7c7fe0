#include "kernels/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace esmm {
namespace {

constexpr std::uint64_t kDraws = 100'000;

struct Moments {
  double mean = 0.0, variance = 0.0, largest = 0.0;
};
template <class Draw>
Moments moments(Draw draw) {
  double sum = 0.0, squares = 0.0, largest = 0.0;
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const double x = static_cast<double>(draw(i));
    sum += x;
    squares += x * x;
    largest = std::max(largest, std::fabs(x));
  }
  const double n = static_cast<double>(kDraws);
  return {sum / n, squares / n - (sum / n) * (sum / n), largest};
}

// Five standard errors of a mean of kDraws draws with variance 1 (moments of higher order here are at most 2).
const double kFiveErrors = 5.0 * std::sqrt(2.0 / static_cast<double>(kDraws));

void expect_words(const RandomWords& words, const RandomWords& expected) {
  EXPECT_EQ(words.x, expected.x);
  EXPECT_EQ(words.y, expected.y);
  EXPECT_EQ(words.z, expected.z);
  EXPECT_EQ(words.w, expected.w);
}

TEST(Random, PhiloxGivesThePublishedWords) {  // the known answers of Random123 for philox4x32-10
  expect_words(philox(0, {0, 0, 0, 0}), {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  expect_words(philox(~std::uint64_t{0}, {~0U, ~0U, ~0U, ~0U}), {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  expect_words(philox(0x299f31d0a4093822, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
               {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST(Random, UniformFillsTheUnitInterval) {
  const Moments m = moments([](std::uint64_t i) { return uniform(42, i); });
  EXPECT_NEAR(m.mean, 0.5, kFiveErrors);
  EXPECT_NEAR(m.variance, 1.0 / 12.0, kFiveErrors);
  EXPECT_LT(m.largest, 1.0);
}

TEST(Random, NormalHasMeanZeroAndVarianceOne) {
  const Moments m = moments([](std::uint64_t i) { return normal(42, i); });
  EXPECT_NEAR(m.mean, 0.0, kFiveErrors);
  EXPECT_NEAR(m.variance, 1.0, kFiveErrors);
  EXPECT_GT(m.largest, 3.5);
}

TEST(Random, TruncatedNormalStopsAtTwoSigma) {
  const Moments m = moments([](std::uint64_t i) { return truncated_normal(42, i); });
  EXPECT_NEAR(m.mean, 0.0, kFiveErrors);
  EXPECT_NEAR(m.variance, 0.7737, kFiveErrors);  // 1 − 4·φ(2) / (2·Φ(2) − 1)
  EXPECT_LE(m.largest, 2.0);
  EXPECT_GT(m.largest, 1.99);
}

TEST(Random, KeyAndCounterBothChangeTheNumber) {
  std::set<float> seen;
  for (std::uint64_t key = 0; key < 10; ++key) {
    for (std::uint64_t high = 0; high < 10; ++high) seen.insert(normal(key, high << 32));
  }
  EXPECT_EQ(seen.size(), 100U);
}

}  // namespace
}  // namespace esmm
