#include "kernels/metrics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/error.hpp"
#include "tests/reference/loss.hpp"
#include "tests/reference/metrics.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/on_backend.hpp"

namespace esmm::test {
namespace {

using Labels = std::vector<std::uint8_t>;
using Scores = std::vector<float>;

// The count of pairs is an integer; turning it and the product of the class sizes into doubles and dividing rounds four
// times, each by at most 2^-53 of a value that is at most 1.
constexpr double kRounding = 4.0 / 9007199254740992.0;

class Auc : public testing::TestWithParam<BackendCase> {
 protected:
  std::optional<double> compute(const Scores& scores, const Labels& labels) {
    const Buffer<float> on_scores = upload(*backend, scores);
    const Buffer<std::uint8_t> on_labels = upload(*backend, labels);
    return auc(*backend, on_scores.span(), on_labels.span());
  }
  std::unique_ptr<Backend> backend = GetParam().make();
  std::mt19937 random{20180417};
};

TEST_P(Auc, EqualsScikitLearn) {
  std::ifstream in(std::string(ESMM_SOURCE_DIR) + "/tests/kernels/golden/auc.json");
  const nlohmann::json golden = nlohmann::json::parse(in);
  ASSERT_GE(golden.at("cases").size(), 10U);
  for (const auto& from : golden.at("cases")) {
    SCOPED_TRACE(from.at("name").get<std::string>());
    const std::optional<double> actual = compute(from.at("scores"), from.at("labels"));
    ASSERT_TRUE(actual.has_value());
    // scikit-learn itself adds up to 400 trapezoids in double.
    EXPECT_NEAR(*actual, from.at("auc").get<double>(), 400.0 * std::ldexp(1.0, -53));
  }
}

TEST_P(Auc, EqualsComparingAllPairsWhateverTheShareOfTiesAndPositives) {
  for (const std::size_t size : {2U, 3U, 17U, 1000U}) {
    for (const int distinct : {1, 2, 7, 100000}) {
      for (const double rate : {0.01, 0.5, 0.95}) {
        Scores scores(size);
        Labels labels(size);
        std::bernoulli_distribution positive(rate);
        for (std::size_t i = 0; i < size; ++i) {
          scores[i] = static_cast<float>(static_cast<int>(random() % 100000U) % distinct) / 3.0F - 1.0F;
          labels[i] = positive(random) ? 1 : 0;
        }
        const auto expected = reference::auc(scores, labels);
        const auto actual = compute(scores, labels);
        ASSERT_EQ(actual.has_value(), expected.has_value());
        if (expected.has_value()) {
          EXPECT_NEAR(*actual, *expected, kRounding);
        }
      }
    }
  }
}

TEST_P(Auc, IsExactOnHundredsOfThousandsOfPairs) {
  // Scores are whole numbers below 1000, so counting by value gives the statistic exactly; more than one chunk of work.
  constexpr std::size_t kSize = 300000;
  Scores scores(kSize);
  Labels labels(kSize);
  std::vector<std::uint64_t> counts[2] = {std::vector<std::uint64_t>(1000), std::vector<std::uint64_t>(1000)};
  for (std::size_t i = 0; i < kSize; ++i) {
    labels[i] = random() % 3 == 0 ? 1 : 0;
    const std::size_t score = (random() % 900U) + (labels[i] != 0 ? random() % 100U : 0U);
    scores[i] = static_cast<float>(score);
    ++counts[labels[i]][score];
  }
  std::uint64_t twice = 0;
  std::uint64_t below = 0;
  std::uint64_t positives = 0;
  for (std::size_t score = 0; score < 1000; ++score) {
    twice += counts[1][score] * (2 * below + counts[0][score]);
    below += counts[0][score];
    positives += counts[1][score];
  }
  const double expected =
      static_cast<double>(twice) / (2.0 * static_cast<double>(positives) * static_cast<double>(below));
  const auto actual = compute(scores, labels);
  EXPECT_NEAR(actual.value(), expected, kRounding);

  std::vector<std::size_t> order(kSize);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), random);
  Scores shuffled(kSize);
  Labels shuffled_labels(kSize);
  for (std::size_t i = 0; i < kSize; ++i) {
    shuffled[i] = scores[order[i]];
    shuffled_labels[i] = labels[order[i]];
  }
  EXPECT_EQ(compute(shuffled, shuffled_labels), actual) << "the order of the pairs does not matter, to the last bit";
}

TEST_P(Auc, OrdersInfinitiesDenormalsAndZeros) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kTiny = std::numeric_limits<float>::denorm_min();
  constexpr float kLargest = std::numeric_limits<float>::max();
  const Scores ascending = {-kInfinity, -kLargest, -1.0F, -2 * kTiny, -kTiny, 0.0F, kTiny, 1.0F, kLargest, kInfinity};
  for (std::size_t i = 0; i + 1 < ascending.size(); ++i) {
    EXPECT_EQ(compute({ascending[i], ascending[i + 1]}, {0, 1}), 1.0);
    EXPECT_EQ(compute({ascending[i], ascending[i + 1]}, {1, 0}), 0.0);
    EXPECT_EQ(compute({ascending[i], ascending[i]}, {1, 0}), 0.5);
  }
  EXPECT_EQ(compute({-0.0F, 0.0F}, {1, 0}), 0.5);
  EXPECT_EQ(compute({-0.0F, 0.0F}, {0, 1}), 0.5);
}

TEST_P(Auc, IsUndefinedWithoutBothClasses) {
  EXPECT_EQ(compute({}, {}), std::nullopt);
  EXPECT_EQ(compute({0.5F}, {1}), std::nullopt);
  EXPECT_EQ(compute({0.5F, 0.1F}, {0, 0}), std::nullopt);
  EXPECT_EQ(compute({0.5F, 0.1F}, {1, 1}), std::nullopt);
}

TEST_P(Auc, RefusesNaNAndListsOfDifferentLength) {
  Scores scores(200000, 0.5F);
  Labels labels(200000, 0);
  labels[0] = 1;
  for (const std::size_t place : {std::size_t{0}, std::size_t{123456}, scores.size() - 1}) {
    scores[place] = std::numeric_limits<float>::quiet_NaN();
    try {
      (void)compute(scores, labels);
      ADD_FAILURE() << "NaN at " << place << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::internal);
    }
    scores[place] = 0.5F;
  }
  labels.pop_back();
  EXPECT_THROW((void)compute(scores, labels), Error);
}

class TaskMetricsOf : public testing::TestWithParam<BackendCase> {
 protected:
  std::array<TaskMetrics, 3> compute(const std::vector<float>& logits, const Labels& click, const Labels& conversion,
                                     ReadOut read_out = ReadOut::factor) {
    const BackendMatrix on_logits(*backend, static_cast<std::int64_t>(click.size()), 2, 2, logits);
    return task_metrics(*backend, on_logits.view(), read_out, upload(*backend, click).span(),
                        upload(*backend, conversion).span());
  }
  std::unique_ptr<Backend> backend = GetParam().make();
};

TEST_P(TaskMetricsOf, EachTaskEqualTheReferenceOverItsOwnSpace) {
  constexpr double kUnit = 0x1p-24;  // largest relative error of one float rounding
  std::mt19937 random{5};
  std::normal_distribution<float> logit(0.0F, 2.0F);
  for (const std::size_t rows : {1U, 2U, 63U, 1000U, 20'001U}) {
    std::vector<float> logits;
    Labels click, conversion;
    struct Expected {
      Scores scores;
      Labels labels;
      double loss = 0, predicted = 0;
      void add(double score, bool label, double row_loss) {
        scores.push_back(static_cast<float>(score));
        labels.push_back(label ? 1 : 0);
        loss += row_loss;
        predicted += score;
      }
    };
    std::array<Expected, 3> expected;
    const auto sigma = [](float x) { return 1.0 / (1.0 + std::exp(-static_cast<double>(x))); };
    for (std::size_t r = 0; r < rows; ++r) {
      const float a = std::round(4 * logit(random)) / 4, b = logit(random);  // a has ties
      const bool y = random() % 3 == 0, z = random() % 2 == 0;               // also conversions without a click
      logits.insert(logits.end(), {a, b});
      click.push_back(y ? 1 : 0);
      conversion.push_back(z ? 1 : 0);
      const auto row = reference::two_task_loss(a, b, y, y && z);
      expected[0].add(sigma(a), y, row.ctr);
      if (y) expected[1].add(sigma(b), z, reference::two_task_loss(b, 0.0, z, false).ctr);
      expected[2].add(sigma(a) * sigma(b), y && z, row.ctcvr);
    }
    const std::array<TaskMetrics, 3> actual = compute(logits, click, conversion);
    for (std::size_t t = 0; t < 3; ++t) {
      SCOPED_TRACE(testing::Message() << rows << " rows, task " << t);
      const auto count = static_cast<std::int64_t>(expected[t].labels.size());
      EXPECT_EQ(actual[t].count, count);
      EXPECT_EQ(actual[t].positives, std::count(expected[t].labels.begin(), expected[t].labels.end(), 1));
      // Losses are doubles: a few roundings a row. A score is a float of at most five roundings.
      EXPECT_NEAR(actual[t].loss, expected[t].loss, 1e-14 * static_cast<double>(count + 1) * (expected[t].loss + 1));
      EXPECT_NEAR(actual[t].predicted, expected[t].predicted, 5 * kUnit * expected[t].predicted);
      const auto auc_of_doubles = reference::auc(expected[t].scores, expected[t].labels);
      ASSERT_EQ(actual[t].auc.has_value(), auc_of_doubles.has_value());
      // Scores that differ by rounding only may be ordered or tied differently, which few pairs of a row are.
      if (auc_of_doubles) {
        EXPECT_NEAR(*actual[t].auc, *auc_of_doubles, 1e-4);
      }
    }
  }
}

TEST_P(TaskMetricsOf, EveryOneOfManyImpressionsCountsOnce) {
  constexpr std::size_t kRows = 70'001;  // more blocks of rows than one block of threads adds up at once
  const std::array<TaskMetrics, 3> tasks =
      compute(std::vector<float>(2 * kRows, 0.0F), Labels(kRows, 1), Labels(kRows, 0));
  const double rows = kRows;
  const std::array<double, 3> score{0.5, 0.5, 0.25};
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    EXPECT_EQ(tasks[t].count, static_cast<std::int64_t>(kRows));
    EXPECT_EQ(tasks[t].positives, t == 0 ? static_cast<std::int64_t>(kRows) : 0);
    EXPECT_EQ(tasks[t].predicted, score[t] * rows) << "exact in double";
    EXPECT_NEAR(tasks[t].loss, -std::log(t < 2 ? 0.5 : 0.75) * rows, rows * 0x1p-52 * rows);
  }
}

TEST_P(TaskMetricsOf, ARatioIsReadOutAsPctcvrOverPctrAndClampedInTheLossOnly) {
  // pCTR = .2, .5, .5; pCTCVR = .5, .25, .1; pCVR = 2.5, .5, .2
  const auto logit = [](double p) { return static_cast<float>(std::log(p / (1.0 - p))); };
  const std::vector<float> logits{logit(0.2), logit(0.5), logit(0.5), logit(0.25), logit(0.5), logit(0.1)};
  const std::array<TaskMetrics, 3> tasks = compute(logits, {1, 1, 1}, {1, 0, 1}, ReadOut::ratio);
  constexpr double kFew = 1e-6;  // logits are rounded to float: 2^-24 · |logit| and a few roundings of the scores
  EXPECT_NEAR(tasks[1].predicted, 2.5 + 0.5 + 0.2, kFew);
  EXPECT_NEAR(tasks[2].predicted, 0.5 + 0.25 + 0.1, kFew);
  EXPECT_NEAR(tasks[1].loss, 1e-7 - std::log(0.5) - std::log(0.2), kFew);
  EXPECT_NEAR(tasks[2].loss, -std::log(0.5) - std::log(0.75) - std::log(0.1), kFew);
  EXPECT_EQ(tasks[1].auc, std::optional(0.5));  // 2.5 is above 0.5, 0.2 below
}

TEST(Predict, OfLogitsFarOutIsNeverInfiniteNorNotANumber) {
  for (const float a : {-1e4F, -100.0F, 0.0F, 1e4F}) {
    for (const float b : {-1e4F, -100.0F, 0.0F, 1e4F}) {
      for (const ReadOut read_out : {ReadOut::factor, ReadOut::ratio}) {
        const Prediction p = predict(read_out, a, b);
        EXPECT_TRUE(std::isfinite(p.pctr) && std::isfinite(p.pcvr) && std::isfinite(p.pctcvr)) << a << ' ' << b;
        EXPECT_TRUE(std::isfinite(pcvr_loss(read_out, a, b, true))) << a << ' ' << b;
      }
    }
  }
}

TEST_P(TaskMetricsOf, NoImpressionsAreZeroAndHaveNoAuc) {
  for (const TaskMetrics& task : compute({}, {}, {})) {
    EXPECT_EQ(task.auc, std::nullopt);
    EXPECT_EQ(task.count, 0);
    EXPECT_EQ(task.loss, 0.0);
  }
}

TEST_P(TaskMetricsOf, RejectsShapesThatDisagreeAndLogitsThatAreNotNumbers) {
  EXPECT_THROW((void)compute({0, 0, 0, 0}, {1, 0}, {1}), Error);
  EXPECT_THROW((void)compute({std::nanf(""), 0, 0, 0}, {1, 0}, {1, 0}), Error);
}

INSTANTIATE_TEST_SUITE_P(Backends, Auc, testing::ValuesIn(backends()), BackendName{});
INSTANTIATE_TEST_SUITE_P(Backends, TaskMetricsOf, testing::ValuesIn(backends()), BackendName{});

}  // namespace
}  // namespace esmm::test
