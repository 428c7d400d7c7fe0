#include "kernels/loss.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/error.hpp"
#include "kernels/loss_math.hpp"
#include "tests/reference/loss.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/loss_batch.hpp"

namespace esmm::test {
namespace {

// The bound that the formulas promise in float: measured 3e-7 on a fine grid, where exp, log1p and a handful of
// additions each contribute about half an epsilon (6e-8).
constexpr double kTolerance = 4e-7;
constexpr float kUnit = 0x1p-24F;  // largest relative error of one float rounding

TEST(LossMath, LossStaysWithinItsBoundOfTheReferenceForAllLogitsUpTo40) {
  for (float a = -40.0F; a <= 40.0F; a += 0.37F) {
    for (float b = -40.0F; b <= 40.0F; b += 0.37F) {
      for (const int label : {0, 1, 3}) {  // bit 0: click, bit 1: conversion
        const bool y = (label & 1) != 0, t = label == 3;
        const auto expected = reference::two_task_loss(a, b, y, t);
        const auto bound = [](double value) { return kTolerance * std::max(1.0, std::fabs(value)); };
        ASSERT_NEAR(ctr_loss(a, y), expected.ctr, bound(expected.ctr)) << a << ' ' << y;
        ASSERT_NEAR(ctcvr_loss(a, b, t), expected.ctcvr, bound(expected.ctcvr)) << a << ' ' << b << ' ' << t;
      }
    }
  }
}

TEST(LossMath, GradientKeepsItsRelativePrecisionForAllLogitsUpTo40) {
  // About ten roundings; at t = 0 the rounding of a − b in exp(a − b) adds |a − b| units.
  const double few = 10.0 * static_cast<double>(kUnit);
  const double with_exponent = few + 80.0 * static_cast<double>(kUnit);
  for (float a = -40.0F; a <= 40.0F; a += 0.37F) {
    for (float b = -40.0F; b <= 40.0F; b += 0.37F) {
      const auto negative = reference::two_task_loss(a, b, false, false);
      const auto positive = reference::two_task_loss(a, b, true, true);
      const auto near = [](float value, double expected, double relative) {
        return std::fabs(static_cast<double>(value) - expected) <= relative * std::fabs(expected);
      };
      ASSERT_TRUE(near(ctr_gradient(a, true), positive.ctr_da, few)) << a;
      ASSERT_TRUE(near(ctr_gradient(a, false), negative.ctr_da, few)) << a;
      ASSERT_TRUE(near(ctcvr_gradient(a, b, true), positive.ctcvr_da, few)) << a << ' ' << b;
      ASSERT_TRUE(near(ctcvr_gradient(b, a, true), positive.ctcvr_db, few)) << a << ' ' << b;
      ASSERT_TRUE(near(ctcvr_gradient(a, b, false), negative.ctcvr_da, with_exponent)) << a << ' ' << b;
      ASSERT_TRUE(near(ctcvr_gradient(b, a, false), negative.ctcvr_db, with_exponent)) << a << ' ' << b;
    }
  }
}

TEST(LossMath, SaturatedLogitsGiveTheGradientsOfTheirExactFormulas) {
  EXPECT_FLOAT_EQ(ctcvr_gradient(18.0F, 18.0F, true), -1.5229979e-8F);  // −σ(−18); the naive (p − t)·r gives 0 or −6e-8
  EXPECT_FLOAT_EQ(ctcvr_gradient(20.0F, 20.0F, true), -2.0611537e-9F);  // −σ(−20)
  EXPECT_FLOAT_EQ(ctcvr_gradient(-40.0F, 40.0F, true), -1.0F);
  EXPECT_FLOAT_EQ(ctcvr_gradient(40.0F, -40.0F, true), -4.248354e-18F);  // −σ(−40)
  EXPECT_FLOAT_EQ(ctcvr_gradient(20.0F, 20.0F, false), 0.5F);            // both logits share the blame equally
  EXPECT_FLOAT_EQ(ctcvr_loss(20.0F, 20.0F, false), 19.306853F);          // 20 − log 2; the naive loss is infinite
}

TEST(LossMath, LossAndGradientStayFiniteFarOutsideTheTestedGrid) {
  for (const float a : {-1e4F, -200.0F, 0.0F, 200.0F, 1e4F}) {
    for (const float b : {-1e4F, -200.0F, 0.0F, 200.0F, 1e4F}) {
      for (const bool t : {false, true}) {
        EXPECT_TRUE(std::isfinite(ctcvr_loss(a, b, t))) << a << ' ' << b << ' ' << t;
        EXPECT_TRUE(std::isfinite(ctcvr_gradient(a, b, t))) << a << ' ' << b << ' ' << t;
        EXPECT_TRUE(std::isfinite(ctr_loss(a, t))) << a << ' ' << t;
      }
    }
  }
}

TEST(LossMath, GradientMatchesFiniteDifferencesOfTheLoss) {
  const double h = 1e-5;  // in double: truncation h² ~ 1e-10, rounding 40·1e-16/h ~ 4e-10
  for (double a = -30.0; a <= 30.0; a += 1.7) {
    for (double b = -30.0; b <= 30.0; b += 1.7) {
      for (const bool t : {false, true}) {
        EXPECT_NEAR((ctcvr_loss(a + h, b, t) - ctcvr_loss(a - h, b, t)) / (2 * h), ctcvr_gradient(a, b, t), 2e-9);
        EXPECT_NEAR((ctcvr_loss(a, b + h, t) - ctcvr_loss(a, b - h, t)) / (2 * h), ctcvr_gradient(b, a, t), 2e-9);
        EXPECT_NEAR((ctr_loss(a + h, t) - ctr_loss(a - h, t)) / (2 * h), ctr_gradient(a, t), 2e-9);
      }
    }
  }
}

TEST(LossMath, TheSigmoidIsSafeForEveryLogit) {
  for (const float x : {0.0F, -1.0F, 3.0F, 40.0F, -40.0F, 200.0F, -200.0F, 1e30F, -1e30F, 0.25F}) {
    const double expected = 1.0 / (1.0 + std::exp(-static_cast<double>(x)));
    // exp, the sum and the quotient: under 3 units; results below the smallest normal float may vanish.
    EXPECT_NEAR(sigmoid(x), expected, 3.0 * static_cast<double>(kUnit) * expected + 1.2e-38) << x;
  }
}

TEST(LossMath, LossIsSymmetricInTheTwoLogitsToTheLastBit) {
  for (const auto& [a, b] : {std::pair{0.3F, -2.5F}, std::pair{17.0F, 16.0F}, std::pair{-9.0F, 33.0F}}) {
    EXPECT_EQ(ctcvr_loss(a, b, false), ctcvr_loss(b, a, false));
    EXPECT_EQ(ctcvr_loss(a, b, true), ctcvr_loss(b, a, true));
  }
}

class TwoTaskLoss : public testing::TestWithParam<BackendCase> {
 protected:
  std::unique_ptr<Backend> backend_ = GetParam().make();
};
INSTANTIATE_TEST_SUITE_P(Backends, TwoTaskLoss, testing::ValuesIn(backends()), BackendName{});

TEST_P(TwoTaskLoss, IsTheWeightedMeanOverAllImpressions) {
  const Objective objective{0.75F, 2.0F};
  for (const std::int64_t rows : {1, 31, 64, 65, 5000}) {
    const Impressions batch = random_impressions(rows);
    const LossResult result = run_loss(*backend_, batch, objective);
    TaskLosses expected;
    const double n = static_cast<double>(rows);
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto i = static_cast<std::size_t>(r);
      const auto row = reference::two_task_loss(batch.logits[2 * i], batch.logits[2 * i + 1], batch.click[i] != 0,
                                                batch.conversion[i] != 0);
      expected.ctr += row.ctr / n;
      expected.conversion += row.ctcvr / n;
      EXPECT_NEAR(result.dlogits[2 * i], (0.75 * row.ctr_da + 2.0 * row.ctcvr_da) / n, 3 * kTolerance / n);
      EXPECT_NEAR(result.dlogits[2 * i + 1], 2.0 * row.ctcvr_db / n, 2 * kTolerance / n);
    }
    EXPECT_NEAR(result.losses.ctr, expected.ctr, kTolerance * std::max(1.0, expected.ctr));
    EXPECT_NEAR(result.losses.conversion, expected.conversion, kTolerance * std::max(1.0, expected.conversion));
    EXPECT_DOUBLE_EQ(result.losses.total(objective), 0.75 * result.losses.ctr + 2.0 * result.losses.conversion);
  }
}

TEST_P(TwoTaskLoss, WithoutTheClickTaskSwappingTheLogitsSwapsTheGradients) {
  const Impressions batch = random_impressions(100);
  Impressions swapped = batch;
  for (std::size_t i = 0; i < swapped.logits.size(); i += 2) std::swap(swapped.logits[i], swapped.logits[i + 1]);
  const LossResult one = run_loss(*backend_, batch, {0.0F, 1.0F}), other = run_loss(*backend_, swapped, {0.0F, 1.0F});
  EXPECT_EQ(one.losses.conversion, other.losses.conversion);
  for (std::size_t i = 0; i < one.dlogits.size(); i += 2) {
    EXPECT_EQ(one.dlogits[i], other.dlogits[i + 1]);
    EXPECT_EQ(one.dlogits[i + 1], other.dlogits[i]);
  }
}

TEST_P(TwoTaskLoss, AConversionWithoutAClickIsNoConversion) {
  Impressions batch, contradicting;
  batch.add(0.5F, -1.0F, false, false);
  contradicting.add(0.5F, -1.0F, false, true);
  EXPECT_EQ(run_loss(*backend_, batch).losses.conversion, run_loss(*backend_, contradicting).losses.conversion);
  EXPECT_EQ(run_loss(*backend_, batch).dlogits, run_loss(*backend_, contradicting).dlogits);
}

TEST_P(TwoTaskLoss, AnEmptyBatchHasNoLoss) {
  const LossResult result = run_loss(*backend_, {});
  EXPECT_EQ(result.losses.ctr, 0.0);
  EXPECT_EQ(result.losses.conversion, 0.0);
}

TEST_P(TwoTaskLoss, PaddedRowsTakeNoPartAndHaveNoGradient) {
  for (const std::int64_t impressions : {0, 1, 63, 64, 100, 999}) {
    Impressions batch = random_impressions(impressions);
    const LossResult expected = run_loss(*backend_, batch);
    for (int row = 0; row < 65; ++row) batch.add(std::nanf(""), INFINITY, true, row % 2 == 0);
    const LossResult padded = run_loss(*backend_, batch, {}, impressions);
    EXPECT_EQ(padded.losses.ctr, expected.losses.ctr) << impressions;
    EXPECT_EQ(padded.losses.conversion, expected.losses.conversion) << impressions;
    for (std::size_t i = 0; i < padded.dlogits.size(); ++i) {
      ASSERT_EQ(padded.dlogits[i], i < expected.dlogits.size() ? expected.dlogits[i] : 0.0F) << impressions << ' ' << i;
    }
  }
}

TEST_P(TwoTaskLoss, RejectsShapesThatDisagree) {
  std::vector<float> values(8);
  const std::vector<std::uint8_t> labels(4);
  TaskLosses losses;
  const MatrixView<float> good(values.data(), 4, 2), bad(values.data(), 3, 2);
  EXPECT_THROW(two_task_loss(*backend_, {}, good, labels, labels, 4, &losses, bad), Error);
  EXPECT_THROW(two_task_loss(*backend_, {}, bad, labels, labels, 3, &losses, bad), Error);
  EXPECT_THROW(two_task_loss(*backend_, {}, good, labels, labels, 5, &losses, good), Error);
  EXPECT_THROW(two_task_loss(*backend_, {}, good, labels, labels, -1, &losses, good), Error);
  EXPECT_THROW(two_task_loss(*backend_, {}, good, labels, labels, 4, nullptr, good), Error);
}

TEST(TwoTaskLossThreads, TheNumberOfThreadsDoesNotChangeOneBit) {
  const Impressions batch = random_impressions(3001);
  const LossResult one = run_loss(*make_cpu_backend(1), batch);
  for (const int threads : {2, 3, 7}) {
    const LossResult many = run_loss(*make_cpu_backend(threads), batch);
    EXPECT_EQ(one.losses.ctr, many.losses.ctr);
    EXPECT_EQ(one.losses.conversion, many.losses.conversion);
    EXPECT_EQ(one.dlogits, many.dlogits);
  }
}

}  // namespace
}  // namespace esmm::test
