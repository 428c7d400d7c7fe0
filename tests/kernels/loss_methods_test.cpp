#include <gtest/gtest.h>

#include <cmath>

#include "kernels/loss_rows.hpp"
#include "tests/reference/loss.hpp"
#include "tests/support/loss_batch.hpp"

// The second head of every method: which rows count, for how much, and against which probability.
namespace esmm::test {
namespace {

constexpr double kRowTolerance = 4e-7;  // of one row's float formulas, see loss_test.cpp
constexpr RowWeights kRules[] = {RowWeights::every,       RowWeights::clicked,  RowWeights::sampled,
                                 RowWeights::oversampled, RowWeights::accepted, RowWeights::inverse};

Objective objective_of(RowWeights rows, Probability probability, float rate) {
  Objective o{0.75F, 2.0F, 0.5F, probability, rows, rate};
  o.seed = 11;
  o.step = 3;
  return o;
}

float rate_of(RowWeights rows) {
  return rows == RowWeights::oversampled ? 5.0F : 0.3F;
}

/// The weight by its definition; draws are those of `row_draw`.
double weight_of(const Objective& o, double a, bool y, bool z, std::int64_t row) {
  const double rate = o.rate, draw = row_draw(o, row), kept = std::min(1.0, rate * (1.0 + std::exp(-a)));
  switch (o.rows) {
    case RowWeights::every:
      return 1.0;
    case RowWeights::clicked:
      return y ? 1.0 : 0.0;
    case RowWeights::sampled:
      return y || draw < rate ? 1.0 : 0.0;
    case RowWeights::oversampled:
      return !y ? 0.0 : z ? rate : 1.0;
    case RowWeights::accepted:
      return y && draw < kept ? 1.0 : 0.0;
    case RowWeights::inverse:
      return y ? kept : 0.0;
  }
  return 0.0;
}

struct Expected {
  double ctr = 0, conversion = 0, auxiliary = 0, total = 0;
  std::vector<double> gradient;
};

/// Everything in double, from the definitions; `weights` are constants of the gradient.
Expected expect(const Objective& o, const Impressions& batch, const std::vector<double>& logits,
                const std::vector<double>& weights) {
  const bool product = o.probability == Probability::product;
  const auto n = static_cast<double>(batch.rows());
  double sum = 0, clicks = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    sum += weights[i];
    clicks += batch.click[i];
  }
  Expected out;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double a = logits[2 * i], b = logits[2 * i + 1];
    const bool y = batch.click[i] != 0, z = batch.conversion[i] != 0;
    const auto both = reference::two_task_loss(a, b, y, z);
    const auto alone = reference::two_task_loss(b, 0.0, y && z, false);  // its ctr: BCE(y·z, σ(b))
    const double w = sum > 0 ? weights[i] / sum : 0.0, v = y ? 1.0 / clicks : 0.0;
    const auto auxiliary = reference::two_task_loss(b, 0.0, z, false);
    out.ctr += both.ctr / n;
    out.conversion += w * (product ? both.ctcvr : alone.ctr);
    out.auxiliary += v * auxiliary.ctr;
    const double wc = static_cast<double>(o.conversion_weight) * w, va = static_cast<double>(o.auxiliary_weight) * v;
    out.gradient.push_back(static_cast<double>(o.ctr_weight) * both.ctr_da / n + (product ? wc * both.ctcvr_da : 0.0));
    out.gradient.push_back(wc * (product ? both.ctcvr_db : alone.ctr_da) + va * auxiliary.ctr_da);
  }
  out.total = static_cast<double>(o.ctr_weight) * out.ctr + static_cast<double>(o.conversion_weight) * out.conversion +
              static_cast<double>(o.auxiliary_weight) * out.auxiliary;
  return out;
}

std::vector<double> weights_of(const Objective& o, const Impressions& batch) {
  std::vector<double> weights;
  for (std::int64_t r = 0; r < batch.rows(); ++r) {
    const auto i = static_cast<std::size_t>(r);
    weights.push_back(weight_of(o, batch.logits[2 * i], batch.click[i] != 0, batch.conversion[i] != 0, r));
  }
  return weights;
}

class MethodLoss : public testing::TestWithParam<BackendCase> {
 protected:
  std::unique_ptr<Backend> backend_ = GetParam().make();
};
INSTANTIATE_TEST_SUITE_P(Backends, MethodLoss, testing::ValuesIn(backends()), BackendName{});

TEST_P(MethodLoss, AndItsGradientEqualTheDoubleReferenceUnderEveryRule) {
  for (const RowWeights rows : kRules) {
    for (const Probability probability : {Probability::own, Probability::product}) {
      for (const std::int64_t size : {1, 31, 33, 256, 257, 1500}) {
        SCOPED_TRACE(testing::Message() << static_cast<int>(rows) << ' ' << static_cast<int>(probability) << ' '
                                        << size);
        const Impressions batch = random_impressions(size);
        const Objective o = objective_of(rows, probability, rate_of(rows));
        const std::vector<double> logits(batch.logits.begin(), batch.logits.end()), weights = weights_of(o, batch);
        const Expected expected = expect(o, batch, logits, weights);
        const LossResult result = run_loss(*backend_, batch, o);
        const auto bound = [](double value) { return 2 * kRowTolerance * std::max(1.0, value); };  // weights round, too
        EXPECT_NEAR(result.losses.ctr, expected.ctr, bound(expected.ctr));
        EXPECT_NEAR(result.losses.conversion, expected.conversion, bound(expected.conversion));
        EXPECT_NEAR(result.losses.auxiliary, expected.auxiliary, bound(expected.auxiliary));
        EXPECT_NEAR(result.losses.total(o), expected.total, 4 * bound(expected.total));
        for (std::size_t i = 0; i < expected.gradient.size(); ++i) {
          const double scale = std::max(std::fabs(expected.gradient[i]), 1.0 / static_cast<double>(size));
          ASSERT_NEAR(result.dlogits[i], expected.gradient[i], 4 * kRowTolerance * scale) << i;
        }
      }
    }
  }
}

TEST(MethodLossReference, GradientMatchesFiniteDifferencesUnderEveryRule) {
  const Impressions batch = random_impressions(20);
  const double h = 1e-5;  // truncation h², rounding of a sum of order 10: 1e-15 / h
  for (const RowWeights rows : kRules) {
    for (const Probability probability : {Probability::own, Probability::product}) {
      const Objective o = objective_of(rows, probability, rate_of(rows));
      const std::vector<double> weights = weights_of(o, batch);
      std::vector<double> logits(batch.logits.begin(), batch.logits.end());
      const Expected expected = expect(o, batch, logits, weights);
      for (std::size_t i = 0; i < logits.size(); ++i) {
        const double old = logits[i];
        logits[i] = old + h;
        const double up = expect(o, batch, logits, weights).total;
        logits[i] = old - h;
        const double down = expect(o, batch, logits, weights).total;
        logits[i] = old;
        ASSERT_NEAR((up - down) / (2 * h), expected.gradient[i], 2e-9) << static_cast<int>(rows) << ' ' << i;
      }
    }
  }
}

/// Rows that count, of `size` equal ones; told by their gradient.
std::int64_t counted(Backend& backend, const Objective& o, std::int64_t size, float a, bool click) {
  Impressions batch;
  for (std::int64_t r = 0; r < size; ++r) batch.add(a, 0.5F, click, false);
  batch.add(0.0F, 0.0F, true, false);  // so that the sum of weights is not 0
  const LossResult result = run_loss(backend, batch, o);
  std::int64_t count = 0;
  for (std::int64_t r = 0; r < size; ++r) count += result.dlogits[2 * static_cast<std::size_t>(r) + 1] != 0.0F ? 1 : 0;
  return count;
}

TEST_P(MethodLoss, SamplesRowsAtTheirRateAnewInEveryStep) {
  constexpr std::int64_t kRows = 20'000;
  // Five standard deviations of a binomial: exceeded once in a million times, and the numbers are fixed.
  const auto bound = [](double p) { return 5.0 * std::sqrt(static_cast<double>(kRows) * p * (1.0 - p)); };
  Objective aman = objective_of(RowWeights::sampled, Probability::own, 0.1F);
  aman.auxiliary_weight = 0.0F;
  const std::int64_t first = counted(*backend_, aman, kRows, 0.0F, false);
  EXPECT_NEAR(static_cast<double>(first), 0.1 * kRows, bound(0.1));
  EXPECT_EQ(counted(*backend_, aman, kRows, 0.0F, true), kRows) << "every click counts";
  ++aman.step;
  EXPECT_NE(counted(*backend_, aman, kRows, 0.0F, false), first) << "equal once in a hundred; the numbers are fixed";

  Objective unbias = objective_of(RowWeights::accepted, Probability::own, 0.1F);
  unbias.auxiliary_weight = 0.0F;
  const float logit = std::log(0.4F / 0.6F);  // pCTR 0.4: a quarter is kept
  EXPECT_NEAR(static_cast<double>(counted(*backend_, unbias, kRows, logit, true)), 0.25 * kRows, bound(0.25));
  EXPECT_EQ(counted(*backend_, unbias, kRows, -4.0F, true), kRows) << "below the floor all are kept";
  EXPECT_EQ(counted(*backend_, unbias, kRows, logit, false), 0);
}

TEST_P(MethodLoss, WithoutARowThatCountsIsZeroAndHasNoGradient) {
  Impressions batch;
  for (int r = 0; r < 300; ++r) batch.add(0.5F, -1.0F, false, false);
  for (const RowWeights rows :
       {RowWeights::clicked, RowWeights::oversampled, RowWeights::accepted, RowWeights::inverse}) {
    const LossResult result = run_loss(*backend_, batch, objective_of(rows, Probability::own, rate_of(rows)));
    EXPECT_EQ(result.losses.conversion, 0.0);
    EXPECT_EQ(result.losses.auxiliary, 0.0);
    EXPECT_GT(result.losses.ctr, 0.0);
    for (std::size_t i = 1; i < result.dlogits.size(); i += 2) ASSERT_EQ(result.dlogits[i], 0.0F);
  }
}

TEST_P(MethodLoss, PaddedRowsTakeNoPartInTheWeights) {
  for (const RowWeights rows : kRules) {
    Impressions batch = random_impressions(100);
    const Objective o = objective_of(rows, Probability::own, rate_of(rows));
    const LossResult expected = run_loss(*backend_, batch, o);
    for (int row = 0; row < 500; ++row) batch.add(std::nanf(""), INFINITY, true, true);
    const LossResult padded = run_loss(*backend_, batch, o, 100);
    EXPECT_EQ(padded.losses.conversion, expected.losses.conversion);
    EXPECT_EQ(padded.losses.auxiliary, expected.losses.auxiliary);
    for (std::size_t i = 0; i < expected.dlogits.size(); ++i) ASSERT_EQ(padded.dlogits[i], expected.dlogits[i]) << i;
  }
}

TEST_P(MethodLoss, OfTheSecondHeadAloneNeverMovesTheClickLogit) {
  for (const RowWeights rows : kRules) {
    Objective o = objective_of(rows, Probability::own, rate_of(rows));
    o.ctr_weight = 0.0F;
    const LossResult result = run_loss(*backend_, random_impressions(500), o);
    for (std::size_t i = 0; i < result.dlogits.size(); i += 2) ASSERT_EQ(result.dlogits[i], 0.0F);
  }
}

TEST(MethodLossThreads, TheNumberOfThreadsDoesNotChangeOneBit) {
  const Impressions batch = random_impressions(3001);
  for (const RowWeights rows : kRules) {
    const Objective o = objective_of(rows, Probability::own, rate_of(rows));
    const LossResult one = run_loss(*make_cpu_backend(1), batch, o), many = run_loss(*make_cpu_backend(3), batch, o);
    EXPECT_EQ(one.losses.conversion, many.losses.conversion);
    EXPECT_EQ(one.dlogits, many.dlogits);
  }
}

}  // namespace
}  // namespace esmm::test
