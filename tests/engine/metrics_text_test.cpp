#include "engine/metrics_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace esmm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Every metric is 0.5 and every calibration 1.
Metrics metrics(std::int64_t clicks = 30, std::int64_t conversions = 10) {
  Metrics metrics;
  for (const std::string& name : metric_names()) {
    metrics.values.emplace_back(name, name.ends_with("calibration") ? 1.0 : 0.5);
  }
  metrics.impressions = 1000;
  metrics.clicks = clicks;
  metrics.conversions = conversions;
  return metrics;
}

void set(Metrics& metrics, const std::string& name, std::optional<double> value) {
  for (auto& [known, number] : metrics.values) {
    if (known == name) number = value;
  }
}

TEST(MetricsText, TableHasAColumnPerSplitAndNamesTheSpaceOfEveryMetric) {
  Metrics train, valid;
  train.values = {{"ctr_auc", 0.75}, {"cvr_auc", 0.123456}};
  train.impressions = 1000;
  train.clicks = 30;
  train.conversions = 2;
  valid.values = {{"ctr_auc", 0.7}, {"cvr_auc", std::nullopt}, {"bayes_cvr_auc", 0.8}};
  EXPECT_EQ(metrics_table({{"train", train}, {"valid", valid}}),
            "metric                      over                           train         valid\n"
            "ctr_auc                     all impressions              0.75000       0.70000\n"
            "cvr_auc                     clicked impressions          0.12346     undefined\n"
            "bayes_cvr_auc               clicked impressions        undefined       0.80000\n"
            "impressions                                                 1000             0\n"
            "clicks                                                        30             0\n"
            "conversions                                                    2             0\n");
}

TEST(MetricsText, JsonIsReadBackAndAnUndefinedMetricIsNull) {
  Metrics written = metrics();
  set(written, "cvr_auc", std::nullopt);
  const nlohmann::ordered_json json = metrics_json(written);
  EXPECT_TRUE(json["cvr_auc"].is_null());
  EXPECT_EQ(json["clicks"], 30);
  const Metrics read = metrics_from_json(json);
  EXPECT_EQ(read.values, written.values);
  EXPECT_EQ(read.conversions, 10);
}

TEST(MetricsText, EveryUndefinedMetricIsWarnedOf) {
  Metrics m = metrics();
  EXPECT_THAT(metric_warnings("valid", m), IsEmpty());
  set(m, "cvr_auc", std::nullopt);
  set(m, "cvr_calibration", std::nullopt);
  EXPECT_THAT(
      metric_warnings("valid", m),
      ElementsAre("cvr_auc of valid is undefined: among 1000 impressions, 30 clicks and 10 conversions one class "
                  "is missing.",
                  "cvr_calibration of valid is undefined: among 1000 impressions, 30 clicks and 10 conversions "
                  "there is no positive."));
}

TEST(MetricsText, FewClicksAndFewConversionsAreWarnedOfButNotNone) {
  EXPECT_THAT(metric_warnings("valid", metrics(10, 10)), IsEmpty());
  EXPECT_THAT(metric_warnings("valid", metrics(30, 9)),
              ElementsAre(HasSubstr("the cvr and ctcvr metrics of valid rest on 9 conversions")));
  EXPECT_THAT(metric_warnings("valid", metrics(9, 0)),
              ElementsAre(HasSubstr("the ctr metrics of valid rest on 9 clicks")));
  EXPECT_THAT(metric_warnings("valid", metrics(0, 0)), IsEmpty()) << "undefined metrics say it already";
}

TEST(MetricsText, APcvrThatHasCollapsedToNothingOrToAConstantIsWarnedOf) {
  Metrics m = metrics();
  set(m, "cvr_calibration", 0.051);
  m.pcvr_spread = 0.011;
  EXPECT_THAT(metric_warnings("valid", m), IsEmpty());
  m.pcvr_spread = 0.005;
  EXPECT_THAT(metric_warnings("valid", m), ElementsAre(HasSubstr("varies by 0.5 % of its mean")));
  set(m, "cvr_calibration", 0.049);
  EXPECT_THAT(metric_warnings("valid", m), ElementsAre(HasSubstr("sums to 0.049 of the conversions")));
}

}  // namespace
}  // namespace esmm
