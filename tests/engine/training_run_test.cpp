#include "engine/training_run.hpp"

#include <gmock/gmock.h>

#include "engine/interrupt.hpp"
#include "kernels/error.hpp"
#include "tests/support/small_log.hpp"

namespace esmm {
namespace {

class TrainingRunTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new test::TemporaryDirectory;
    log_ = new test::SmallLog(test::make_small_log(*directory_, 3000, 7));
  }
  static void TearDownTestSuite() {
    delete log_;
    delete directory_;
  }
  void TearDown() override { set_interrupted(false); }

  static Config config() {
    Config config;
    config.batch_size = 256;
    config.epochs = 2;
    config.hidden = {24, 12};
    config.dropout = 0.2F;
    config.log_every = 5;
    config.threads = 2;
    return config;
  }

  struct Outcome {
    TrainingResult result;
    std::string model, metrics;
    std::int64_t steps = 0;
  };

  /// Trains in a new run directory. `interrupt_at` > 0: SIGINT "arrives" in that step, and the run is then resumed.
  static Outcome train(const Config& config, std::int64_t interrupt_at = 0) {
    const std::string path = *directory_ / ("run" + std::to_string(runs_++));
    RunDirectory directory = RunDirectory::create(path);
    const auto vocabulary = log_->train->vocabulary();
    const ModelSpec spec =
        make_model_spec(config, log_->train->schema(), *vocabulary, normalisation(log_->train->statistics().dense));
    directory.write_setup(config, spec.schema, *vocabulary);
    const std::unique_ptr<Backend> backend = make_cpu_backend(config.threads);
    Outcome outcome;
    TrainingObserver observer;
    observer.on_step = [&](std::int64_t step, std::int64_t, double) { set_interrupted(step == interrupt_at); };
    if (interrupt_at > 0) {
      TrainingRun run(*backend, config, spec, directory, log_->train, log_->test, observer);
      EXPECT_TRUE(run.run().interrupted);
      set_interrupted(false);
      EXPECT_EQ(directory.checkpoints().back(), interrupt_at);
    }
    interrupt_at = 0;
    TrainingRun run(*backend, config, spec, directory, log_->train, log_->test, observer);
    outcome.steps = run.total_steps();
    if (!directory.checkpoints().empty()) run.resume(directory.checkpoint_path(directory.checkpoints().back()));
    outcome.result = run.run();
    outcome.model = test::read_bytes(directory.model_path());
    outcome.metrics = test::read_bytes(path + "/metrics.jsonl");
    return outcome;
  }

  static void expect_equal(const Metrics& a, const Metrics& b) {
    EXPECT_EQ(a.values, b.values);
    EXPECT_EQ(a.impressions, b.impressions);
  }

  static inline test::TemporaryDirectory* directory_ = nullptr;
  static inline test::SmallLog* log_ = nullptr;
  static inline int runs_ = 0;
};

TEST_F(TrainingRunTest, WritesTheSameModelAndMetricsWhateverTheNumberOfThreads) {
  Config one = config(), three = config();
  one.threads = 1;
  three.threads = 3;
  const Outcome a = train(one), b = train(three);
  EXPECT_FALSE(a.model.empty());
  EXPECT_TRUE(a.model == b.model);
  expect_equal(a.result.train, b.result.train);
  expect_equal(*a.result.valid, *b.result.valid);
  EXPECT_EQ(a.metrics, b.metrics);
}

TEST_F(TrainingRunTest, EndsWithTheSameBytesAfterAnInterruptionAtAnyStep) {
  const Outcome whole = train(config());
  ASSERT_EQ(whole.steps, 24);
  EXPECT_FALSE(whole.model.empty());
  for (const std::int64_t step : {1, 7, 11, 12, 13, 20, 23}) {  // in both epochs, at and around their border
    const Outcome resumed = train(config(), step);
    EXPECT_TRUE(resumed.model == whole.model) << "interrupted at step " << step;
    EXPECT_EQ(resumed.metrics, whole.metrics) << "interrupted at step " << step;
    expect_equal(resumed.result.train, whole.result.train);
    expect_equal(*resumed.result.valid, *whole.result.valid);
  }
}

TEST_F(TrainingRunTest, TrainMetricsCoverExactlyTheLastEpoch) {
  const Outcome outcome = train(config());
  EXPECT_EQ(outcome.result.train.impressions, 3000);
  EXPECT_EQ(outcome.result.rows, 6000);
}

TEST_F(TrainingRunTest, StopsEarlyAndKeepsTheBestModel) {
  Config stopping = config();
  stopping.epochs = 30;
  stopping.lr = 0.02F;  // overfits 3000 rows soon
  stopping.early_stopping = "ctcvr_logloss";
  stopping.patience = 2;
  const Outcome outcome = train(stopping);
  EXPECT_TRUE(outcome.result.state.stopped_early);
  EXPECT_LT(outcome.result.state.epoch, 30);
  EXPECT_EQ(outcome.result.valid->value("ctcvr_logloss"), outcome.result.state.best_metric);
  EXPECT_EQ(outcome.result.train.impressions, 3000) << "the epoch that turned out to be the last";
  EXPECT_EQ(outcome.result.rows, 3000 * outcome.result.state.epoch);
}

TEST_F(TrainingRunTest, ALossThatIsNotFiniteEndsTheRunAndLeavesTheGoodCheckpoints) {
  Config wild = config();
  wild.optimizer = OptimizerKind::sgd;
  wild.lr = 1e30F;
  wild.checkpoint_every = 1;
  try {
    (void)train(wild);
    FAIL() << "trained on with an infinite loss";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::internal);
    EXPECT_THAT(error.what(), testing::HasSubstr("Lower --lr"));
  }
}

TEST_F(TrainingRunTest, KeepsOnlyTheNewestCheckpoints) {
  Config often = config();
  often.checkpoint_every = 3;
  often.keep_checkpoints = 2;
  (void)train(often);
  const auto steps = RunDirectory::open(*directory_ / ("run" + std::to_string(runs_ - 1))).checkpoints();
  EXPECT_EQ(steps, (std::vector<std::int64_t>{21, 24}));
}

}  // namespace
}  // namespace esmm
