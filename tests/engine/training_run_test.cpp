#include "engine/training_run.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <span>
#include <vector>

#include "engine/interrupt.hpp"
#include "kernels/error.hpp"
#include "tests/support/bit_flips.hpp"
#include "tests/support/far_backend.hpp"
#include "tests/support/sanitized.hpp"
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
    std::string model, metrics, checkpoint;
    std::int64_t steps = 0;
  };

  /// A checkpoint's bytes but for the time it took, which is of fixed length, and the header's checksum, which covers
  /// it.
  static std::string without_seconds(std::string bytes) {
    for (const std::string key : {"\"train_seconds\":\"", "\"xxh3\":\""}) {
      const std::size_t at = bytes.find(key);
      EXPECT_NE(at, std::string::npos);
      bytes.replace(at + key.size(), 16, 16, '0');
    }
    return bytes;
  }

  using MakeBackend = std::unique_ptr<Backend> (*)(int threads);
  static std::unique_ptr<Backend> make_far_backend(int threads) { return std::make_unique<test::FarBackend>(threads); }

  /// Trains in a new run directory. `interrupt_at` > 0: SIGINT "arrives" in that step, and the run is then resumed, on
  /// a backend made by `resume_on`.
  static Outcome train(const Config& config, std::int64_t interrupt_at = 0, MakeBackend make = make_cpu_backend,
                       MakeBackend resume_on = nullptr) {
    const std::string path = *directory_ / ("run" + std::to_string(runs_++));
    RunDirectory directory = RunDirectory::create(path);
    const auto vocabulary = log_->train->vocabulary();
    const ModelSpec spec =
        make_model_spec(config, log_->train->schema(), *vocabulary, normalisation(log_->train->statistics().dense));
    directory.write_setup(config, spec.schema, *vocabulary);
    Outcome outcome;
    TrainingObserver observer;
    observer.on_step = [&](std::int64_t step, std::int64_t, double) { set_interrupted(step == interrupt_at); };
    if (interrupt_at > 0) {
      const std::unique_ptr<Backend> backend = make(config.threads);
      TrainingRun run(*backend, config, spec, directory, log_->train, log_->test, observer);
      EXPECT_TRUE(run.run().interrupted);
      set_interrupted(false);
      EXPECT_EQ(directory.checkpoints().back(), interrupt_at);
    }
    interrupt_at = 0;
    const std::unique_ptr<Backend> backend = (resume_on != nullptr ? resume_on : make)(config.threads);
    TrainingRun run(*backend, config, spec, directory, log_->train, log_->test, observer);
    outcome.steps = run.total_steps();
    if (!directory.checkpoints().empty()) run.resume(directory.checkpoint_path(directory.checkpoints().back()));
    outcome.result = run.run();
    outcome.model = test::read_bytes(directory.model_path());
    outcome.checkpoint = without_seconds(test::read_bytes(directory.checkpoint_path(directory.checkpoints().back())));
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
  const std::vector<std::int64_t> steps{12, 20, 1, 7, 11, 13, 23};  // in both epochs, at and around their border
  for (const std::int64_t step : std::span(steps).first(test::kSanitized ? 2 : steps.size())) {
    const Outcome resumed = train(config(), step);
    EXPECT_TRUE(resumed.model == whole.model) << "interrupted at step " << step;
    EXPECT_EQ(resumed.metrics, whole.metrics) << "interrupted at step " << step;
    expect_equal(resumed.result.train, whole.result.train);
    expect_equal(*resumed.result.valid, *whole.result.valid);
  }
}

// Its checks: tests/support/far_backend.hpp.
TEST_F(TrainingRunTest, GivesTheSameBytesOnABackendWhoseMemoryTheHostCannotRead) {
  for (const Shuffle shuffle : {Shuffle::common_row, Shuffle::impression}) {
    Config often = config();
    often.eval_every = 7;
    often.shuffle = shuffle;
    if (shuffle == Shuffle::impression) {  // many common rows, and not always as many
      often.batch_size = 61;
      often.epochs = 1;
      often.eval_every = 25;
    }
    const Outcome near = train(often), far = train(often, 0, make_far_backend);
    EXPECT_FALSE(near.model.empty());
    EXPECT_TRUE(far.model == near.model);
    EXPECT_TRUE(far.checkpoint == near.checkpoint);
    EXPECT_EQ(far.metrics, near.metrics);
    expect_equal(far.result.train, near.result.train);
    expect_equal(*far.result.valid, *near.result.valid);
  }
}

TEST_F(TrainingRunTest, ClipsTheSameOnABackendWhoseMemoryTheHostCannotRead) {
  Config clipped = config();
  clipped.epochs = 1;
  const Outcome free = train(clipped);
  clipped.clip_norm = 0.01F;
  for (const bool tables : {false, true}) {
    clipped.clip_tables = tables;
    const Outcome near = train(clipped);
    EXPECT_TRUE(train(clipped, 0, make_far_backend).model == near.model);
    EXPECT_FALSE(near.model == free.model) << "the limit is exceeded";
  }
}

TEST_F(TrainingRunTest, ARunIsResumedOnOneBackendFromTheCheckpointOfAnother) {
  const Outcome whole = train(config());
  const std::vector<std::int64_t> steps{17, 1};
  for (const std::int64_t step : std::span(steps).first(test::kSanitized ? 1 : steps.size())) {
    const Outcome there = train(config(), step, make_cpu_backend, make_far_backend);
    const Outcome back = train(config(), step, make_far_backend, make_cpu_backend);
    const Outcome stayed = train(config(), step, make_far_backend);
    for (const Outcome* resumed : {&there, &back, &stayed}) {
      EXPECT_TRUE(resumed->model == whole.model) << "interrupted at step " << step;
      EXPECT_EQ(resumed->metrics, whole.metrics) << "interrupted at step " << step;
      EXPECT_TRUE(resumed->checkpoint == whole.checkpoint) << "interrupted at step " << step;
    }
  }
}

TEST_F(TrainingRunTest, TheObserverGetsTheLastKnownLoss) {
  const std::string path = *directory_ / "observed";
  const RunDirectory directory = RunDirectory::create(path);
  const auto vocabulary = log_->train->vocabulary();
  const ModelSpec spec = make_model_spec(config(), log_->train->schema(), *vocabulary, {});
  directory.write_setup(config(), spec.schema, *vocabulary);
  std::vector<double> losses;
  TrainingObserver observer;
  observer.on_step = [&](std::int64_t, std::int64_t, double loss) { losses.push_back(loss); };
  const std::unique_ptr<Backend> backend = make_cpu_backend(1);
  (void)TrainingRun(*backend, config(), spec, directory, log_->train, nullptr, observer).run();
  ASSERT_EQ(losses.size(), 24U);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const std::size_t step = i + 1;
    EXPECT_EQ(std::isnan(losses[i]), step < 5) << "the first are known at the first logging step";
    const bool taken = step % 5 == 0 || step == 12 || step == 24;  // log_every; ends of epochs
    if (step > 5) {
      EXPECT_EQ(losses[i] != losses[i - 1], taken) << step;
    }
  }
}

TEST_F(TrainingRunTest, EvaluatesEveryDueStepExactlyOnceHoweverItIsInterrupted) {
  Config often = config();
  often.eval_every = 4;
  often.checkpoint_every = 4;
  often.epochs = 3;
  often.early_stopping = "ctr_logloss";
  often.patience = 3;
  const Outcome whole = train(often);
  ASSERT_GT(whole.result.state.step, 13);
  const std::vector<std::int64_t> steps{12, 13, 4,
                                        8};  // evaluation, checkpoint and the end of an epoch coincide or not
  for (const std::int64_t step : std::span(steps).first(test::kSanitized ? 2 : steps.size())) {
    const Outcome resumed = train(often, step);
    EXPECT_TRUE(resumed.model == whole.model) << "interrupted at step " << step;
    EXPECT_EQ(resumed.metrics, whole.metrics) << "interrupted at step " << step;
  }
}

TEST_F(TrainingRunTest, AnInterruptedEvaluationIsDoneAgainOnResume) {
  const Outcome whole = train(config());
  const std::string path = *directory_ / "interrupted_evaluation";
  const RunDirectory directory = RunDirectory::create(path);
  const auto vocabulary = log_->train->vocabulary();
  const ModelSpec spec = make_model_spec(config(), log_->train->schema(), *vocabulary, {});
  directory.write_setup(config(), spec.schema, *vocabulary);
  const std::unique_ptr<Backend> backend = make_cpu_backend(2);
  TrainingObserver observer;
  observer.on_metrics = [](const std::string&, const Metrics&) {
    set_interrupted(true);
  };  // as its first result arrives
  TrainingRun first(*backend, config(), spec, directory, log_->train, log_->test, observer);
  EXPECT_TRUE(first.run().interrupted);
  set_interrupted(false);
  TrainingRun second(*backend, config(), spec, directory, log_->train, log_->test, {});
  second.resume(directory.checkpoint_path(directory.checkpoints().back()));
  EXPECT_FALSE(second.run().interrupted);
  EXPECT_TRUE(test::read_bytes(directory.model_path()) == whole.model);
  EXPECT_EQ(test::read_bytes(path + "/metrics.jsonl"), whole.metrics);
}

TEST_F(TrainingRunTest, RefusesToResumeOnOtherDataOrWithFewerEpochsThanAreDone) {
  (void)train(config());
  const RunDirectory directory = RunDirectory::open(*directory_ / ("run" + std::to_string(runs_ - 1)));
  const std::string checkpoint = directory.checkpoint_path(directory.checkpoints().back());
  const std::unique_ptr<Backend> backend = make_cpu_backend(1);
  const ModelSpec spec = make_model_spec(config(), log_->train->schema(), *log_->train->vocabulary(), {});
  const auto code_of = [&](const Config& with, const std::shared_ptr<const PackedDataset>& data) {
    TrainingRun run(*backend, with, spec, directory, data, nullptr, {});
    try {
      run.resume(checkpoint);
    } catch (const Error& error) {
      return error.code();
    }
    return ExitCode::ok;
  };
  Config fewer = config();
  fewer.epochs = 1;
  EXPECT_EQ(code_of(config(), log_->train), ExitCode::ok);
  EXPECT_EQ(code_of(config(), log_->test), ExitCode::data);
  EXPECT_EQ(code_of(fewer, log_->train), ExitCode::usage);
}

TEST_F(TrainingRunTest, NeverSavesParametersThatAreNotFinite) {
  Config wild = config();
  wild.optimizer = OptimizerKind::sgd;
  wild.lr = 1e38F;
  wild.batch_size = 100'000;  // one step: its own loss is still finite
  wild.epochs = 1;
  EXPECT_THROW((void)train(wild), Error);
  const RunDirectory directory = RunDirectory::open(*directory_ / ("run" + std::to_string(runs_ - 1)));
  EXPECT_TRUE(directory.checkpoints().empty());
  EXPECT_FALSE(std::filesystem::exists(directory.model_path()));
}

TEST_F(TrainingRunTest, OneDirectoryHoldsOneRun) {
  const std::string path = *directory_ / "claimed";
  const RunDirectory first = RunDirectory::create(path), second = RunDirectory::create(path);
  first.write_setup(config(), log_->train->schema(), *log_->train->vocabulary());
  EXPECT_THROW(second.write_setup(config(), log_->train->schema(), *log_->train->vocabulary()), Error);
  EXPECT_THROW((void)RunDirectory::create(path), Error);
}

TEST_F(TrainingRunTest, ADirectoryIsLockedUntilItsOwnerLetsGoAndThenClearedOfWhatTheDeadLeft) {
  const std::string path = *directory_ / "locked";
  const RunDirectory first = RunDirectory::create(path), second = RunDirectory::create(path);
  {
    const File lock = first.lock();
    try {
      (void)second.lock();
      ADD_FAILURE() << "locked twice";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_THAT(error.what(), testing::HasSubstr("process " + std::to_string(getpid())));
    }
  }
  std::filesystem::create_directories(path + "/checkpoints");
  test::write_bytes(path + "/checkpoints/step-0000000009.safetensors.tmp-123", "half");
  const File lock = second.lock();
  EXPECT_TRUE(std::filesystem::is_empty(path + "/checkpoints"));
  EXPECT_NO_THROW((void)RunDirectory::create(path)) << "the set-up of a run that was killed is no run";
}

TEST_F(TrainingRunTest, ResumesFromTheNewestCheckpointThatIsWholeAndSetsTheOthersAside) {
  Config often = config();
  often.checkpoint_every = 5;
  often.keep_checkpoints = 100;
  const Outcome whole = train(often);
  const RunDirectory directory = RunDirectory::open(*directory_ / ("run" + std::to_string(runs_ - 1)));
  ASSERT_EQ(directory.checkpoints(), (std::vector<std::int64_t>{5, 10, 15, 20, 24}));
  std::string flipped = test::read_bytes(directory.checkpoint_path(20));
  flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 4);
  test::write_bytes(directory.checkpoint_path(20), flipped);
  std::filesystem::resize_file(directory.checkpoint_path(24), 1000);
  std::vector<std::string> skipped;
  const auto note = [&](const std::string& reason) { skipped.push_back(reason); };
  const std::optional<std::string> good = newest_good_checkpoint(directory.checkpoint_paths(), note);
  ASSERT_EQ(good, directory.checkpoint_path(15));
  EXPECT_THAT(skipped, testing::ElementsAre(testing::HasSubstr("step-0000000024"), testing::HasSubstr("checksum")));

  const ModelSpec spec = make_model_spec(often, log_->train->schema(), *log_->train->vocabulary(),
                                         normalisation(log_->train->statistics().dense));
  const std::unique_ptr<Backend> backend = make_cpu_backend(2);
  TrainingRun run(*backend, often, spec, directory, log_->train, log_->test, {});
  run.resume(*good);
  EXPECT_EQ(directory.checkpoints(), (std::vector<std::int64_t>{5, 10, 15}));
  EXPECT_TRUE(std::filesystem::exists(directory.checkpoint_path(24) + ".damaged"));
  (void)run.run();
  EXPECT_TRUE(test::read_bytes(directory.model_path()) == whole.model);
  EXPECT_EQ(test::read_bytes(directory.path() + "/metrics.jsonl"), whole.metrics);
}

TEST_F(TrainingRunTest, ACheckpointThatCannotBeReadIsNotTakenForDamaged) {
  static_cast<void>(train(config()));
  const RunDirectory directory = RunDirectory::open(*directory_ / ("run" + std::to_string(runs_ - 1)));
  std::vector<std::string> paths = directory.checkpoint_paths();
  paths.push_back(*directory_ / "a_directory");  // opens, but its bytes cannot be read
  std::filesystem::create_directory(paths.back());
  try {
    (void)newest_good_checkpoint(paths, [](const std::string& reason) { ADD_FAILURE() << reason; });
    ADD_FAILURE() << "an older one was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::io) << error.what();
  }
}

TEST_F(TrainingRunTest, FindsFlippedBitsOfACheckpoint) {
  static_cast<void>(train(config()));
  const RunDirectory directory = RunDirectory::open(*directory_ / ("run" + std::to_string(runs_ - 1)));
  const std::string checkpoint = directory.checkpoint_path(directory.checkpoints().back());
  std::uint64_t length = 0;
  File::open(checkpoint).read_at(0, std::as_writable_bytes(std::span(&length, 1)));
  test::expect_flips_found({{checkpoint, sizeof length + length}},
                           [&] { return newest_good_checkpoint({checkpoint}, [](const std::string&) {}).has_value(); });
}

TEST_F(TrainingRunTest, MetricsThatCannotBeReadAreNotTakenForNone) {
  Config often = config();
  often.checkpoint_every = 5;
  static_cast<void>(train(often));
  const RunDirectory directory = RunDirectory::open(*directory_ / ("run" + std::to_string(runs_ - 1)));
  const std::string metrics = directory.path() + "/metrics.jsonl", checkpoints = directory.path() + "/checkpoints";
  std::filesystem::remove(metrics);
  std::filesystem::create_directory(metrics);
  EXPECT_THROW(directory.rewind_metrics(5, 5), Error);
  std::filesystem::remove_all(checkpoints);
  EXPECT_TRUE(directory.checkpoints().empty()) << "a set-up that was killed has none yet";
  test::write_bytes(checkpoints, "not a directory");
  EXPECT_THROW(static_cast<void>(directory.checkpoints()), Error);
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
  for (const float clip_norm : {0.0F, 1.0F}) {  // a norm that is no number does not hide anything
    wild.clip_norm = clip_norm;
    wild.clip_tables = clip_norm > 0;
    try {
      (void)train(wild);
      FAIL() << "trained on with an infinite loss";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::internal);
      EXPECT_THAT(error.what(), testing::HasSubstr("Lower --lr"));
      EXPECT_THAT(error.what(),
                  testing::ContainsRegex("impressions [0-9]+ to [0-9]+ in the epoch's order; by now norm"));
    }
  }
}

TEST_F(TrainingRunTest, ALossThatIsReadLateIsReportedWithItsOwnStep) {
  Config wild = config();
  wild.optimizer = OptimizerKind::sgd;
  wild.lr = 1e30F;
  const auto complaint = [&] {
    try {
      (void)train(wild);
    } catch (const Error& error) {
      const std::string what = error.what();
      return what.substr(0, what.find("by now"));  // the parameters have moved on
    }
    return std::string("none");
  };
  wild.log_every = 1;
  const std::string at_once = complaint();
  EXPECT_THAT(at_once, testing::HasSubstr("the loss is"));
  wild.log_every = 1000;
  EXPECT_EQ(complaint(), at_once);
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
