#include "engine/schedule.hpp"

#include <gtest/gtest.h>

namespace esmm {
namespace {

TEST(Schedule, WarmsUpLinearlyAndReachesTheFullRateOnItsLastStep) {
  Config config;
  config.warmup_steps = 4;
  EXPECT_DOUBLE_EQ(schedule_factor(config, 1, 100), 0.25);
  EXPECT_DOUBLE_EQ(schedule_factor(config, 4, 100), 1.0);
  EXPECT_DOUBLE_EQ(schedule_factor(config, 5, 100), 1.0);
}

TEST(Schedule, CosineStartsAtOneIsHalfWayInTheMiddleAndEndsAtTheFinalFraction) {
  Config config;
  config.schedule = Schedule::cosine;
  config.schedule_decay = 0.2F;
  const double last = static_cast<double>(0.2F);
  EXPECT_DOUBLE_EQ(schedule_factor(config, 1, 100), 1.0);
  EXPECT_NEAR(schedule_factor(config, 51, 100), (1.0 + last) / 2, 1e-12);
  EXPECT_NEAR(schedule_factor(config, 101, 100), last, 1e-12);
  EXPECT_NEAR(schedule_factor(config, 500, 100), last, 1e-12);
}

TEST(Schedule, CosineCountsFromTheEndOfTheWarmUp) {
  Config config;
  config.schedule = Schedule::cosine;
  config.warmup_steps = 10;
  config.schedule_decay = 0.0F;
  EXPECT_DOUBLE_EQ(schedule_factor(config, 11, 110), 1.0);
  EXPECT_NEAR(schedule_factor(config, 61, 110), 0.5, 1e-12);
}

TEST(Schedule, StepMultipliesByTheDecayAfterEveryWholePeriod) {
  Config config;
  config.schedule = Schedule::step;
  config.schedule_steps = 10;
  config.schedule_decay = 0.5F;
  EXPECT_DOUBLE_EQ(schedule_factor(config, 10, 100), 1.0);
  EXPECT_DOUBLE_EQ(schedule_factor(config, 11, 100), 0.5);
  EXPECT_DOUBLE_EQ(schedule_factor(config, 21, 100), 0.25);
}

}  // namespace
}  // namespace esmm
