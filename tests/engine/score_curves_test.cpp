#include "engine/score_curves.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "kernels/error.hpp"
#include "tests/support/roc_area.hpp"

namespace esmm {
namespace {

struct Scored {
  float score;
  bool label;
};

/// Clicks that follow their scores: sigmoids of normal logits around `middle`.
std::vector<Scored> scored(std::size_t size, double middle, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> logit(middle, 1.0);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<Scored> rows(size);
  for (Scored& row : rows) {
    const double p = 1 / (1 + std::exp(-logit(random)));
    row = {static_cast<float>(p), uniform(random) < p};
  }
  return rows;
}

ScoreCurve curve_of(const std::vector<Scored>& rows) {
  ScoreHistogram histogram;
  for (const Scored& row : rows) histogram.add(row.score, row.label);
  return histogram.curve("ctr");
}

/// P(score⁺ > score⁻) + ½ P(score⁺ = score⁻), pair by pair.
double naive_auc(const std::vector<Scored>& rows) {
  double wins = 0, pairs = 0;
  for (const Scored& positive : rows) {
    if (!positive.label) continue;
    for (const Scored& negative : rows) {
      if (negative.label) continue;
      pairs += 1;
      wins += positive.score > negative.score ? 1.0 : positive.score == negative.score ? 0.5 : 0.0;
    }
  }
  return wins / pairs;
}

TEST(ScoreCurve, AreaUnderTheRocIsTheAucWithinHalfOfWhatBinsHold) {
  for (const double middle : {-6.0, -2.0, 0.0, 3.0}) {
    const std::vector<Scored> rows = scored(6000, middle, 1);
    const test::RocArea area = test::roc_area(curve_of(rows).roc);
    EXPECT_NEAR(area.area, naive_auc(rows), area.error + 1e-12) << middle;
    // At most 1001 bins, none of which holds much more than 1/500 of one class.
    EXPECT_LT(area.error, 0.01) << middle;
    EXPECT_LE(curve_of(rows).roc.size(), 1001U);
  }
}

TEST(ScoreCurve, OfEqualScoresIsTheDiagonal) {
  std::vector<Scored> rows(300, {0.25F, false});
  for (std::size_t i = 0; i < 60; ++i) rows[i].label = true;
  const ScoreCurve curve = curve_of(rows);
  ASSERT_EQ(curve.roc.size(), 1U);
  EXPECT_EQ(curve.roc[0], (ScoreBin{300, 60, 75.0}));
  EXPECT_DOUBLE_EQ(test::roc_area(curve.roc).area, 0.5);
  EXPECT_EQ(curve.calibration, curve.roc);
}

TEST(ScoreCurve, CalibrationBinsHoldEveryImpressionOnceInNearlyEqualParts) {
  for (const std::size_t size : {1U, 99U, 100U, 250U, 5000U, 20000U}) {
    const std::vector<Scored> rows = scored(size, -2, 2);
    const ScoreCurve curve = curve_of(rows);
    ScoreBin sum;
    double last_mean = 0;
    for (const ScoreBin& bin : curve.calibration) {
      sum = {sum.count + bin.count, sum.positives + bin.positives, sum.predicted + bin.predicted};
      const double mean = bin.predicted / static_cast<double>(bin.count);
      EXPECT_GT(mean, last_mean) << "scores rise";
      last_mean = mean;
    }
    double predicted = 0;
    for (const Scored& row : rows) predicted += static_cast<double>(row.score);
    EXPECT_EQ(sum.count, size);
    EXPECT_EQ(sum.positives, static_cast<std::uint64_t>(std::ranges::count_if(rows, &Scored::label)));
    EXPECT_NEAR(sum.predicted, predicted, 1e-9 * static_cast<double>(size));
    EXPECT_LE(curve.calibration.size(), std::clamp<std::size_t>(size / 100, 1, 20)) << size;
    EXPECT_GE(curve.calibration.size(), std::clamp<std::size_t>(size / 120, 1, 17)) << size;
  }
}

TEST(ScoreCurve, OfOneClassHasNoRoc) {
  const std::vector<Scored> negatives(10, {0.5F, false}), positives(10, {0.5F, true});
  EXPECT_TRUE(curve_of(negatives).roc.empty());
  EXPECT_TRUE(curve_of(positives).roc.empty());
  EXPECT_EQ(curve_of(negatives).calibration.size(), 1U);
  EXPECT_TRUE(curve_of({}).calibration.empty());
}

TEST(ScoreCurve, ScoresBeyondOneAndNextToZeroAreCountedInOrder) {  // a ratio pCTCVR / pCTR may exceed 1
  // The last two share a bin, as they are both negatives.
  const ScoreCurve curve = curve_of({{8e37F, true}, {1.5F, false}, {1.0F, true}, {1e-38F, false}, {0.0F, false}});
  ASSERT_EQ(curve.roc.size(), 4U);
  EXPECT_EQ(curve.roc[0].positives, 1U);
  EXPECT_EQ(curve.roc[2].positives, 1U);
  EXPECT_DOUBLE_EQ(test::roc_area(curve.roc).area, 5.0 / 6.0);
}

TEST(ScoreCurve, JsonGivesItBack) {
  ScoreCurve curve = curve_of(scored(3000, -1, 3));
  const auto back = curves_from_json(curves_json({curve}), "curves.json");
  for (ScoreBin& bin : curve.roc) bin.predicted = 0;  // which a ROC does not need, and the JSON lacks
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0], curve);
}

TEST(ScoreCurve, JsonOfAnotherFormIsRefused) {
  const auto json = [](const char* text) { return nlohmann::ordered_json::parse(text); };
  EXPECT_THROW(static_cast<void>(curves_from_json(json(R"({"ctr": 3})"), "f")), nlohmann::json::exception);
  EXPECT_THROW(static_cast<void>(curves_from_json(json(R"({"ctr": {"roc": {"positives": [1, 2], "negatives": [1]},
                       "calibration": {"count": [], "positives": [], "predicted": []}}})"),
                                                  "f")),
               Error);
}

}  // namespace
}  // namespace esmm
