// Whole runs with --on-nonfinite skip over a log one of whose batches has values that no float can carry through a
// step.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <functional>
#include <random>
#include <span>
#include <sstream>

#include "engine/interrupt.hpp"
#include "engine/training_run.hpp"
#include "io/pack.hpp"
#include "kernels/cuda/make_backend.hpp"
#include "kernels/error.hpp"
#include "tests/support/far_backend.hpp"
#include "tests/support/optimizers.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr int kBatch = 64, kBatches = 5, kPoisoned = 2;  // batches of one epoch; the poisoned one

class SkippedSteps : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new test::TemporaryDirectory;
    PackOptions options;
    options.min_count = 1;
    options.threads = 1;
    clean_ = packed("clean", options, false);
    options.vocabulary = clean_->vocabulary();
    poisoned_ = packed("poisoned", options, true);
  }
  static void TearDownTestSuite() {
    clean_.reset();
    poisoned_.reset();
    delete directory_;
  }
  void TearDown() override { set_interrupted(false); }

  /// A log with the poisoned batch, or the same without that batch.
  static std::shared_ptr<const PackedDataset> packed(const std::string& name, const PackOptions& options,
                                                     bool with_poison) {
    std::mt19937 random(20180417);
    std::string lines;
    for (int row = 0; row < kBatch * kBatches; ++row) {
      const bool poison = row / kBatch == kPoisoned;
      const auto number = [&](unsigned most) { return static_cast<unsigned>(random()) % most; };
      const unsigned click = number(2), conversion = click * number(2);
      std::string line = fmt::format("s{},{},{}", row, click, conversion);
      for (int id = 0; id < 3; ++id) line += fmt::format(",item:{}:{}", number(20), poison ? 3e38 : 1.0);
      line += fmt::format(",shop:{}\n", number(5));
      if (!poison || with_poison) lines += line;
    }
    const std::string log = directory_->write(name + ".txt", lines);
    pack(*open_log(log, {Half::train, nullptr, true, 1}), *directory_ / name, options);
    return PackedDataset::open(*directory_ / name);
  }

  static Config config() {
    Config config;
    config.batch_size = kBatch;
    config.epochs = 2;
    config.dim = 6;
    config.hidden = {12, 6};
    config.shuffle = Shuffle::none;
    config.log_every = 2;
    config.threads = 2;
    config.on_nonfinite = OnNonfinite::skip;
    config.keep_checkpoints = 1;
    return config;
  }

  struct Outcome {
    TrainingResult result;
    std::string model, metrics;
    std::vector<std::vector<std::byte>> optimizer;  // tensors of its state
    std::vector<std::string> warnings;
  };

  /// Trains in a new run directory; `interrupt_at` > 0: SIGINT "arrives" in that step, and the run is then resumed.
  static Outcome train(const Config& config, Backend& backend, const std::shared_ptr<const PackedDataset>& data,
                       std::int64_t interrupt_at = 0) {
    RunDirectory directory = RunDirectory::create(*directory_ / fmt::format("run{}", runs_++));
    const ModelSpec spec = make_model_spec(config, data->schema(), *data->vocabulary(), {});
    directory.write_setup(config, spec.schema, *data->vocabulary());
    Outcome outcome;
    TrainingObserver observer;
    observer.on_step = [&](std::int64_t step, std::int64_t, double) { set_interrupted(step == interrupt_at); };
    observer.on_warning = [&](const std::string& warning) { outcome.warnings.push_back(warning); };
    if (interrupt_at > 0) {
      EXPECT_TRUE(TrainingRun(backend, config, spec, directory, data, nullptr, observer).run().interrupted);
      set_interrupted(false);
      interrupt_at = 0;
    }
    TrainingRun run(backend, config, spec, directory, data, nullptr, observer);
    if (!directory.checkpoints().empty()) run.resume(directory.checkpoint_paths().back());
    outcome.result = run.run();
    outcome.model = test::read_bytes(directory.model_path());
    outcome.metrics = test::read_bytes(directory.path() + "/metrics.jsonl");
    const SafetensorsFile checkpoint(directory.checkpoint_paths().back());
    for (const std::string& name : checkpoint.names()) {
      if (name.starts_with("optimizer.")) outcome.optimizer.push_back(checkpoint.bytes(name));
    }
    return outcome;
  }

  /// A warning without the norms, which are of the step at which losses are read.
  static std::string when(const std::string& warning) { return warning.substr(0, warning.find("; by now")); }

  static inline test::TemporaryDirectory* directory_ = nullptr;
  static inline std::shared_ptr<const PackedDataset> clean_, poisoned_;
  static inline int runs_ = 0;
};

// Where the step's number decides nothing: no dropout, no schedule, no bias correction.
TEST_F(SkippedSteps, ARunEndsAsIfTheBatchHadNotBeenInTheData) {
  std::vector<std::function<std::unique_ptr<Backend>()>> backends{
      [] { return make_cpu_backend(2); },
      []() -> std::unique_ptr<Backend> { return std::make_unique<test::FarBackend>(2); }};
  if (cpu_multiplies_bf16()) backends.emplace_back([] { return make_cpu_backend(2, Precision::bf16); });
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    for (const TowerKernels towers : {TowerKernels::chain, TowerKernels::fused}) {
      backends.emplace_back([=] { return simt::make_backend({.precision = precision, .towers = towers}); });
    }
  }
  const std::vector optimizers{OptimizerKind::adagrad, OptimizerKind::sgd, OptimizerKind::rowwise_adagrad,
                               OptimizerKind::ftrl};
  for (const auto& make : backends) {
    for (const OptimizerKind optimizer : std::span(optimizers).first(test::kSanitized ? 1 : optimizers.size())) {
      for (const float stddev : {1e-3F, 10.0F}) {
        SCOPED_TRACE(
            fmt::format("{}, optimizer {}, embeddings of {}", make()->name(), test::name_of(optimizer), stddev));
        Config c = config();
        c.optimizer = optimizer;
        c.lr = 0.01F;
        c.embedding_stddev = stddev;
        const Outcome skipped = train(c, *make(), poisoned_), without = train(c, *make(), clean_);
        EXPECT_FALSE(without.model.empty());
        EXPECT_TRUE(skipped.model == without.model);
        ASSERT_EQ(without.optimizer.size(), 3U);
        EXPECT_EQ(skipped.optimizer, without.optimizer);
        EXPECT_EQ(skipped.result.train.values, without.result.train.values);
        EXPECT_EQ(skipped.result.train.impressions, kBatch * (kBatches - 1));
        EXPECT_EQ(skipped.result.rows, 2 * kBatch * kBatches);
        EXPECT_EQ(skipped.result.state.skipped_steps, 2);
        EXPECT_EQ(without.result.state.skipped_steps, 0);
        EXPECT_THAT(without.warnings, ElementsAre());
        const auto reason = HasSubstr(stddev < 1 ? "the gradient is not finite, or its square is not" : "the loss is ");
        EXPECT_THAT(
            skipped.warnings,
            ElementsAre(
                AllOf(reason, HasSubstr("skipped step 3: "),
                      HasSubstr("epoch 0, batch 2, impressions 128 to 191 in the epoch's order; by now norm")),
                AllOf(reason, HasSubstr("skipped step 8: "), HasSubstr("epoch 1, batch 2, impressions 128 to 191"))));
      }
    }
  }
}

TEST_F(SkippedSteps, AreFoundAgainByARunThatIsResumedAtAnyStep) {
  Config c = config();
  c.dropout = 0.2F;
  c.clip_norm = 0.05F;
  const auto backend = make_cpu_backend(2);
  const Outcome whole = train(c, *backend, poisoned_);
  EXPECT_EQ(whole.result.state.skipped_steps, 2);
  for (std::int64_t step = 1; step < 2 * kBatches; ++step) {
    SCOPED_TRACE(testing::Message() << "interrupted at step " << step);
    const Outcome resumed = train(c, *backend, poisoned_, step);
    EXPECT_TRUE(resumed.model == whole.model);
    EXPECT_EQ(resumed.optimizer, whole.optimizer);
    EXPECT_EQ(resumed.metrics, whole.metrics);
    EXPECT_EQ(resumed.result.train.values, whole.result.train.values);
    EXPECT_EQ(resumed.result.state.skipped_steps, 2);
    ASSERT_EQ(resumed.warnings.size(), 2U);
    for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(when(resumed.warnings[i]), when(whole.warnings[i]));
  }
}

TEST_F(SkippedSteps, AreCountedInEveryLineAndALineOfThemAloneHasNoLoss) {
  Config c = config();
  c.log_every = 1;
  c.epochs = 1;
  std::istringstream metrics(train(c, *make_cpu_backend(1), poisoned_).metrics);
  std::vector<std::string> lines;
  for (std::string line; std::getline(metrics, line);) lines.push_back(line);
  const auto counted = [](int steps, auto loss) {
    return AllOf(HasSubstr(fmt::format("\"skipped_steps\":{}", steps)), loss);
  };
  const auto loss = HasSubstr("\"loss\":1.");
  EXPECT_THAT(lines, ElementsAre(counted(0, loss), counted(0, loss), counted(1, Not(HasSubstr("loss"))),
                                 counted(1, loss), counted(1, loss)));
}

TEST_F(SkippedSteps, WithoutTheOptionTheSameDataEndTheRun) {
  Config c = config();
  c.on_nonfinite = OnNonfinite::error;
  c.embedding_stddev = 10.0F;
  try {
    (void)train(c, *make_cpu_backend(1), poisoned_);
    FAIL() << "trained on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::internal);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("at step 3 (epoch 0, batch 2, impressions 128 to 191"),
                                    HasSubstr("--on-nonfinite skip")));
  }
}

TEST_F(SkippedSteps, TenInARowEndTheRunWheneverTheyAreNoticed) {
  Config wild = config();
  wild.epochs = 4;
  wild.optimizer = OptimizerKind::sgd;
  wild.lr = 1e30F;  // the first step is finite, and no other after it
  wild.checkpoint_every = 1000;
  for (const std::int64_t log_every : {1, 1000}) {
    wild.log_every = log_every;
    try {
      (void)train(wild, *make_cpu_backend(1), clean_);
      FAIL() << "trained on without moving";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::internal);
      EXPECT_THAT(error.what(), AllOf(HasSubstr("10 steps in a row were skipped: "),
                                      HasSubstr("at step 11 (epoch 2, batch 2, impressions 128 to 191")));
    }
  }
}

}  // namespace
}  // namespace esmm
