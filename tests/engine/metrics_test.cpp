#include "engine/metrics.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/error.hpp"

namespace esmm {
namespace {

struct Rows {
  std::vector<float> logits;
  std::vector<std::uint8_t> click, conversion;
  void add(float a, float b, int y, int z) {
    logits.insert(logits.end(), {a, b});
    click.push_back(static_cast<std::uint8_t>(y));
    conversion.push_back(static_cast<std::uint8_t>(z));
  }
  /// Rows [begin, end) as one batch, in which all later rows are padding.
  void add(MetricsCollector& collector, std::size_t begin, std::size_t end) const {
    BatchView batch;
    batch.click = std::span(click).subspan(begin);
    batch.conversion = std::span(conversion).subspan(begin);
    batch.impressions = static_cast<std::int64_t>(end - begin);
    collector.add({logits.data() + 2 * begin, batch.rows(), 2}, batch);
  }
  [[nodiscard]] Metrics metrics() const {
    const std::unique_ptr<Backend> backend = make_cpu_backend(1);
    MetricsCollector collector(*backend, static_cast<std::int64_t>(click.size()));
    // In two pieces: metrics must be global, not an average of pieces.
    const std::size_t half = click.size() / 2;
    add(collector, 0, half);
    add(collector, half, click.size());
    return collector.result();
  }
};

double sigma(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

TEST(Metrics, RemovedImpressionsAreAsIfTheyHadNotBeenAdded) {
  Rows rows, expected;
  constexpr int kRows = 100;
  for (int i = 0; i < kRows; ++i) {
    const auto a = static_cast<float>(i % 7) - 3.0F, b = static_cast<float>(i) / 10.0F;
    const bool kept = i < 20 || (i >= 50 && i < 97);
    rows.add(kept ? a : std::nanf(""), b, i % 2, i % 4 / 3);
    if (kept) expected.add(a, b, i % 2, i % 4 / 3);
  }
  const std::unique_ptr<Backend> backend = make_cpu_backend(1);
  MetricsCollector collector(*backend, kRows);
  rows.add(collector, 0, kRows);
  collector.remove(97, 3);   // at the end
  collector.remove(20, 0);   // nothing
  collector.remove(20, 30);  // fewer than lie behind them
  EXPECT_EQ(collector.size(), 67);
  EXPECT_EQ(collector.result().values, expected.metrics().values);
  collector.remove(0, 40);  // more than lie behind them
  EXPECT_EQ(collector.size(), 27);
  EXPECT_THROW(collector.remove(20, 8), Error);
}

TEST(Metrics, CvrCoversClickedImpressionsOnlyAndTheOthersAll) {
  Rows rows;
  rows.add(2.0F, 1.0F, 1, 1);
  rows.add(1.0F, -1.0F, 1, 0);
  rows.add(-1.0F, 5.0F, 0, 0);  // not clicked: its high pCVR must not count against the cvr metrics
  rows.add(-2.0F, 3.0F, 0, 0);
  const Metrics m = rows.metrics();
  EXPECT_EQ(m.impressions, 4);
  EXPECT_EQ(m.clicks, 2);
  EXPECT_EQ(m.conversions, 1);
  EXPECT_DOUBLE_EQ(m.value("ctr_auc").value(), 1.0);
  EXPECT_DOUBLE_EQ(m.value("cvr_auc").value(), 1.0);
  // pCTCVR: 0.881·0.731 = .644, .731·.269 = .197, .269·.993 = .267, .119·.953 = .114: the positive is on top.
  EXPECT_DOUBLE_EQ(m.value("ctcvr_auc").value(), 1.0);
  const double cvr_loss = -(std::log(sigma(1.0)) + std::log(1 - sigma(-1.0))) / 2;
  EXPECT_NEAR(m.value("cvr_logloss").value(), cvr_loss, 1e-12);
  const double ctcvr_loss = -(std::log(sigma(2) * sigma(1)) + std::log(1 - sigma(1) * sigma(-1)) +
                              std::log(1 - sigma(-1) * sigma(5)) + std::log(1 - sigma(-2) * sigma(3))) /
                            4;
  EXPECT_NEAR(m.value("ctcvr_logloss").value(), ctcvr_loss, 1e-12);
  EXPECT_NEAR(m.value("cvr_calibration").value(), sigma(1) + sigma(-1), 1e-6);
  EXPECT_NEAR(m.value("ctr_calibration").value(), (sigma(2) + sigma(1) + sigma(-1) + sigma(-2)) / 2, 1e-6);
}

TEST(Metrics, AreUndefinedRatherThanOneHalfWhenAClassIsMissing) {
  Rows rows;
  rows.add(0.5F, 0.0F, 1, 0);
  rows.add(-0.5F, 0.5F, 0, 0);
  const Metrics m = rows.metrics();
  EXPECT_TRUE(m.value("ctr_auc").has_value());
  EXPECT_FALSE(m.value("cvr_auc").has_value());
  EXPECT_FALSE(m.value("ctcvr_auc").has_value());
  EXPECT_FALSE(m.value("cvr_calibration").has_value());
  EXPECT_TRUE(m.value("cvr_logloss").has_value());
}

TEST(Metrics, TheSpreadOfPcvrIsRelativeToItsMean) {
  // Half of the impressions have logit b, half b + d: pCVR's relative standard deviation is (1 − σ(b))·d/2.
  const auto rows = [](float d) {
    Rows made;
    for (int r = 0; r < 80; ++r) {
      made.add(0.5F * static_cast<float>(r % 3), r % 2 == 0 ? d : 0.0F, r % 4 == 3 ? 0 : 1, r < 40 ? 1 : 0);
    }
    return made.metrics();
  };
  EXPECT_NEAR(rows(0.02F).pcvr_spread.value(), 0.005, 1e-4);
  EXPECT_NEAR(rows(0.05F).pcvr_spread.value(), 0.0125, 5e-4);
  EXPECT_EQ(rows(0.0F).pcvr_spread.value(), 0.0);
}

TEST(Metrics, TheSpreadOfPcvrIsThatOfTheLatestImpressions) {
  Rows rows;
  for (int r = 0; r < 1000; ++r) rows.add(0.0F, static_cast<float>(r % 7), 1, 0);  // as in the first steps of a run
  for (int r = 0; r < 1 << 16; ++r) rows.add(0.0F, 1.0F, 1, r % 2);
  EXPECT_EQ(rows.metrics().pcvr_spread.value(), 0.0);
}

TEST(Metrics, OfNoImpressionsAreAllUndefined) {
  for (const auto& [name, value] : Rows{}.metrics().values) EXPECT_FALSE(value.has_value()) << name;
}

TEST(Metrics, AucGivesTiesHalfACredit) {
  Rows rows;
  rows.add(1.0F, 0.0F, 1, 0);
  rows.add(1.0F, 0.0F, 0, 0);
  rows.add(0.0F, 0.0F, 0, 0);
  EXPECT_DOUBLE_EQ(rows.metrics().value("ctr_auc").value(), 0.75);
}

TEST(Metrics, LoglossStaysFiniteWhereProbabilitiesRoundToOne) {
  Rows rows;
  rows.add(40.0F, 40.0F, 0, 0);
  rows.add(-40.0F, 40.0F, 1, 1);
  const Metrics m = rows.metrics();
  EXPECT_NEAR(m.value("ctr_logloss").value(), 40.0, 1e-9);
  // −log(1 − σ(40)²) = 40 − log 2, and −log σ(−40) = 40.
  EXPECT_NEAR(m.value("ctcvr_logloss").value(), (40.0 - std::log(2.0) + 40.0) / 2, 1e-9);
}

TEST(Metrics, EarlyStoppingKnowsWhichWayIsBetter) {
  for (const std::string& name : metric_names()) {
    if (name.ends_with("calibration")) {
      EXPECT_FALSE(larger_is_better(name).has_value());
    } else {
      EXPECT_EQ(larger_is_better(name).value(), name.ends_with("auc"));
    }
  }
}

}  // namespace
}  // namespace esmm
