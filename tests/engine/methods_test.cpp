#include "engine/methods.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>

#include "engine/interrupt.hpp"
#include "engine/run_model.hpp"
#include "engine/training_run.hpp"
#include "kernels/error.hpp"
#include "kernels/separate_towers.hpp"
#include "tests/support/small_log.hpp"
#include "tests/support/toy_model.hpp"

namespace esmm {
namespace {

class Methods : public testing::TestWithParam<std::string> {
 protected:
  static void SetUpTestSuite() {
    directory_ = new test::TemporaryDirectory;
    log_ = new test::SmallLog(test::make_small_log(*directory_, 1500, 7));
  }
  static void TearDownTestSuite() {
    delete log_;
    delete directory_;
  }
  void TearDown() override { set_interrupted(false); }

  static Config config(const std::string& model) {
    Config config = resolve_config("", {{"model", model}});
    config.batch_size = 128;
    config.hidden = {16, 8};
    config.dim = 6;
    config.log_every = 5;
    config.lr = 0.01F;
    config.tower_l2 = 1e-4F;
    return config;
  }
  /// Trains into a new run directory, and returns its path; interrupted in step `stop` and resumed when that is not 0.
  static std::string train(const Config& config, std::int64_t stop = 0) {
    const std::string path = *directory_ / ("run" + std::to_string(runs_++));
    RunDirectory directory = RunDirectory::create(path);
    const auto vocabulary = log_->train->vocabulary();
    const ModelSpec spec = make_model_spec(config, log_->train->schema(), *vocabulary, {});
    directory.write_setup(config, spec.schema, *vocabulary);
    const auto backend = make_cpu_backend(2);
    if (stop > 0) {
      TrainingObserver observer;
      observer.on_step = [stop](std::int64_t step, std::int64_t, double) { set_interrupted(step == stop); };
      TrainingRun(*backend, config, spec, directory, log_->train, log_->test, observer).run();
      set_interrupted(false);
    }
    TrainingRun run(*backend, config, spec, directory, log_->train, log_->test, {});
    if (stop > 0) run.resume(directory.checkpoint_path(stop));
    EXPECT_FALSE(run.run().interrupted);
    return path;
  }
  static std::string bytes(const std::string& path) { return test::read_bytes(path + "/model.safetensors"); }

  static inline test::TemporaryDirectory* directory_ = nullptr;
  static inline test::SmallLog* log_ = nullptr;
  static inline int runs_ = 0;
};
INSTANTIATE_TEST_SUITE_P(All, Methods,
                         testing::Values("base", "aman", "oversampling", "unbias", "division", "esmm_ns", "esmm",
                                         "esmm_aux"),
                         [](const auto& test) { return test.param; });

TEST_P(Methods, TrainResumeAndEvaluate) {
  const Config c = config(GetParam());
  const std::string whole = train(c), resumed = train(c, 7);
  EXPECT_TRUE(bytes(whole) == bytes(resumed)) << "resuming changed the result";
  EXPECT_EQ(test::read_bytes(whole + "/metrics.jsonl"), test::read_bytes(resumed + "/metrics.jsonl"));
  const auto backend = make_cpu_backend(1);
  const RunModel run = load_run(*backend, whole);
  EXPECT_EQ(run.model().spec().method.name, GetParam());
  const Metrics metrics = evaluate(*backend, run.model(), log_->test, {});
  for (const auto& [name, value] : metrics.values) {
    ASSERT_TRUE(value) << name;
    EXPECT_TRUE(std::isfinite(*value)) << name;
  }
}

TEST_P(Methods, LogTheLossesThatTheyHave) {
  const Method& chosen = method(config(GetParam()).model);
  const std::string line = test::read_bytes(train(config(GetParam())) + "/metrics.jsonl");
  const std::string first = line.substr(0, line.find('\n'));
  const auto has = [&](const std::string& key) { return first.find("\"" + key + "_loss\"") != std::string::npos; };
  EXPECT_TRUE(has("ctr"));
  EXPECT_EQ(has("ctcvr"), chosen.second_task == "ctcvr");
  EXPECT_EQ(has("cvr"), chosen.second_task == "cvr" || chosen.auxiliary != nullptr);
}

TEST_P(Methods, HaveTablesOfTheirTowersUnlessTheyShareThem) {
  const bool shared = method(config(GetParam()).model).shared_tables;
  EXPECT_EQ(shared, GetParam() == "esmm" || GetParam() == "esmm_aux");
  const Config c = config(GetParam());
  const auto backend = make_cpu_backend(1);
  const RunModel run = load_run(*backend, train(c));
  const ModelSpec& spec = run.model().spec();
  EXPECT_EQ(spec.dim, shared ? 6 : 12);
  std::int64_t values = 0;
  for (const StridedTensor& tensor : run.parameters->tensors()) {
    if (!tensor.name.starts_with("embedding.")) continue;
    const bool owned = tensor.name.starts_with("embedding.ctr.") || tensor.name.starts_with("embedding.cvr.");
    EXPECT_EQ(owned, !shared) << tensor.name;
    EXPECT_EQ(tensor.cols, 6) << tensor.name;
    values += tensor.rows * tensor.cols;
  }
  EXPECT_EQ(values, spec.arena_rows() * spec.dim);
  if (shared) return;
  const TowerViews<float>& views = run.parameters->towers().views();
  const std::int64_t width = c.hidden.front();
  for (const auto& [layer, pooled] : {std::pair{views.first_common, spec.common_inputs()},
                                      std::pair{views.first_sample, spec.pooled_sample_columns()}}) {
    std::int64_t zeros = 0;
    for (std::int64_t i = 0; i < layer.rows; ++i) {
      for (std::int64_t j = 0; j < layer.cols; ++j) {
        const bool read = tower_reads(j / width, i, pooled, spec.tower_dim());
        ASSERT_TRUE(read || layer(i, j) == 0.0F) << "after training";
        if (read && layer(i, j) == 0.0F) ++zeros;
      }
    }
    EXPECT_EQ(zeros, 0) << "a weight that is read and exactly 0";
  }
}

TEST_P(Methods, WithoutSharedTablesTheSecondLossDoesNotChangeOneBitOfPctr) {
  Config c = config(GetParam());
  const bool independent = !method(c.model).shared_tables && method(c.model).probability == Probability::own;
  const std::string one = train(c);
  c.ctcvr_weight = 0.3F;
  const std::string other = train(c);
  const auto backend = make_cpu_backend(1);
  std::vector<float> logits[2];
  int side = 0;
  for (const std::string& path : {one, other}) {
    score(*backend, load_run(*backend, path).model(), log_->test, {},
          [&](const HostBatch&, MatrixView<const float> batch) {
            for (std::int64_t r = 0; r < batch.rows; ++r) logits[side].push_back(batch(r, 0));
          });
    ++side;
  }
  ASSERT_EQ(logits[0].size(), logits[1].size());
  EXPECT_EQ(logits[0] == logits[1], independent) << "the product's loss has a gradient by the click logit";
}

TEST(MethodTable, NamesEveryValueOfTheOptionOnceInItsOrder) {
  ASSERT_EQ(methods().size(), 8U);
  EXPECT_EQ(method(ModelKind::base).name, "base");
  EXPECT_EQ(method(ModelKind::division).name, "division");
  EXPECT_EQ(method(ModelKind::esmm).name, "esmm");
  EXPECT_EQ(method(ModelKind::esmm_aux).name, "esmm_aux");
}

TEST(MethodTable, TakesItsRatesFromTheConfiguration) {
  EXPECT_EQ(objective(resolve_config("", {{"model", "aman"}, {"aman-rate", "0.5"}})).rate, 0.5F);
  EXPECT_EQ(objective(resolve_config("", {{"model", "oversampling"}, {"oversampling-rate", "3"}})).rate, 3.0F);
  const Objective weights = objective(resolve_config("", {{"model", "unbias"}, {"unbias", "weights"}}));
  EXPECT_EQ(weights.rows, RowWeights::inverse);
  EXPECT_EQ(objective(resolve_config("", {{"model", "esmm"}, {"aux-weight", "2"}})).auxiliary_weight, 0.0F);
  EXPECT_EQ(objective(resolve_config("", {{"model", "esmm_aux"}, {"aux-weight", "2"}})).auxiliary_weight, 2.0F);
}

TEST(MethodTable, RowwiseAdagradIsRefusedWhereItWouldJoinTheTowers) {
  EXPECT_NO_THROW((void)resolve_config("", {{"model", "esmm"}, {"optimizer", "rowwise_adagrad"}}));
  try {
    (void)resolve_config("", {{"model", "base"}, {"optimizer", "rowwise_adagrad"}});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_THAT(error.what(), testing::HasSubstr("Choose adagrad"));
  }
}

TEST(MethodTable, RatesOutsideTheirRangesAreUsageErrors) {
  for (const auto& [flag, value] : {std::pair{"aman-rate", "1.5"}, std::pair{"oversampling-rate", "0.5"},
                                    std::pair{"unbias-floor", "0"}, std::pair{"aux-weight", "-1"}}) {
    EXPECT_THROW((void)resolve_config("", {{flag, value}}), Error) << flag;
  }
}

}  // namespace
}  // namespace esmm
