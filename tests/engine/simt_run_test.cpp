#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "engine/batch_feed.hpp"
#include "engine/training_run.hpp"
#include "kernels/cuda/make_backend.hpp"
#include "tests/simt/simt.hpp"
#include "tests/support/small_log.hpp"

// Whole training runs by the CUDA kernels, executed on the host.
namespace esmm {
namespace {

using Tensors = std::map<std::string, std::vector<float>>;

class SimtRun : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new test::TemporaryDirectory;
    log_ = new test::SmallLog(test::make_small_log(*directory_, 300, 7));
  }
  static void TearDownTestSuite() {
    delete log_;
    delete directory_;
  }
  void TearDown() override { ::simt::set_schedule(1); }

  static Config config() {
    Config config;
    config.batch_size = 64;
    config.epochs = 2;
    config.dim = 6;
    config.hidden = {12, 6};
    config.dropout = 0.2F;
    config.log_every = 3;
    config.threads = 1;
    // Sums of squares that start at 0.1 keep every step a smooth function of its gradient.
    config.optimizer = OptimizerKind::adagrad;
    config.initial_accumulator = 0.1F;
    config.lr = 0.1F;
    return config;
  }

  static std::unique_ptr<Backend> on_cpu() { return make_cpu_backend(1); }
  static std::unique_ptr<Backend> on_simt() { return simt::make_backend({.towers = TowerKernels::chain}); }

  struct Outcome {
    TrainingResult result;
    std::string model_path;
    [[nodiscard]] std::string bytes() const {
      std::ifstream file(model_path, std::ios::binary);
      return {std::istreambuf_iterator<char>(file), {}};
    }
    [[nodiscard]] Tensors tensors() const {
      const SafetensorsFile file(model_path);
      Tensors tensors;
      for (const std::string& name : file.names()) {
        const auto bytes = file.bytes(name);
        std::vector<float> values(bytes.size() / sizeof(float));
        std::memcpy(values.data(), bytes.data(), bytes.size());
        tensors[name] = std::move(values);
      }
      return tensors;
    }
  };

  static ModelSpec spec(const Config& config) {
    return make_model_spec(config, log_->train->schema(), *log_->train->vocabulary(),
                           normalisation(log_->train->statistics().dense));
  }
  static RunDirectory new_run(const Config& config) {
    RunDirectory directory = RunDirectory::create(*directory_ / ("run" + std::to_string(runs_++)));
    directory.write_setup(config, spec(config).schema, *log_->train->vocabulary());
    return directory;
  }
  static Outcome train(const Config& config, const std::unique_ptr<Backend>& backend, bool resident = false) {
    const RunDirectory directory = new_run(config);
    TrainingRun run(*backend, config, spec(config), directory, log_->train, log_->test, {}, resident);
    return {run.run(), directory.model_path()};
  }

  static inline test::TemporaryDirectory* directory_ = nullptr;
  static inline test::SmallLog* log_ = nullptr;
  static inline int runs_ = 0;
};

TEST_F(SimtRun, TrainsTheSameModelAsTheCpuWithinTheRoundingOfItsSteps) {
  const Outcome cpu = train(config(), on_cpu()), device = train(config(), on_simt());
  ASSERT_EQ(device.result.state.step, cpu.result.state.step);
  ASSERT_EQ(device.result.state.step, 10);
  // Per step a weight moves by lr·g/√s with s >= 0.1, so by at most 0.32 times the error of g; a gradient of at most 1
  // is the sum of 64 impressions through layers of up to 100 inputs, some 300 roundings of 2^-24. Errors of earlier
  // steps feed back into later ones at most by the same factor again: doubled.
  const double tolerance = 10 * 0.32 * 300 * 0x1p-24 * 2;
  const Tensors expected = cpu.tensors();
  double moved = 0.0;
  for (const auto& [name, values] : device.tensors()) {
    ASSERT_EQ(values.size(), expected.at(name).size()) << name;
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_NEAR(values[i], expected.at(name)[i], tolerance) << name << ' ' << i;
      if (name.ends_with(".bias")) moved = std::max(moved, std::fabs(static_cast<double>(values[i])));
    }
  }
  EXPECT_GT(moved, 100 * tolerance) << "biases start at 0";
  ASSERT_TRUE(device.result.valid && cpu.result.valid);
  for (const auto& [name, value] : cpu.result.valid->values) {
    ASSERT_EQ(device.result.valid->value(name).has_value(), value.has_value()) << name;
    if (value) {
      EXPECT_NEAR(*device.result.valid->value(name), *value, 1e-3) << name;
    }
  }
}

TEST_F(SimtRun, TrainsEveryMethodAsTheCpuDoesWithinTheRoundingOfItsSteps) {
  for (const Method& method : methods()) {
    SCOPED_TRACE(std::string(method.name));
    Config c = config();
    c.epochs = 1;
    c.model = static_cast<ModelKind>(&method - methods().data());
    const Outcome cpu = train(c, on_cpu()), device = train(c, on_simt());
    // As above with five steps; a masked loss divides by the rows that count, some 20 of 64 or fewer: gradients of a
    // row are up to 64 times as large.
    const double tolerance = 5 * 0.32 * 300 * 0x1p-24 * 2 * 64;
    const Tensors expected = cpu.tensors();
    for (const auto& [name, values] : device.tensors()) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        ASSERT_NEAR(values[i], expected.at(name)[i], tolerance) << name << ' ' << i;
      }
    }
  }
}

TEST_F(SimtRun, GivesTheSameBytesUnderTwentySchedules) {
  Config short_run = config();
  short_run.epochs = 1;
  const std::string first = train(short_run, on_simt()).bytes();
  EXPECT_FALSE(first.empty());
  for (std::uint64_t seed = 2; seed <= 20; ++seed) {
    ::simt::set_schedule(seed);
    ASSERT_TRUE(train(short_run, on_simt()).bytes() == first) << "schedule " << seed;
  }
}

TEST_F(SimtRun, ResidentIdsGiveTheSameBytesAsStreamedBatches) {
  const std::string streamed = train(config(), on_simt()).bytes();
  EXPECT_FALSE(streamed.empty());
  EXPECT_TRUE(train(config(), on_simt(), true).bytes() == streamed);
}

TEST_F(SimtRun, AStepNeitherAllocatesNorSynchronisesOnceItsShapesAreKnownClippedAndJudgedOrNot) {
  std::set<std::int64_t> synchronisations;  // of the feed, which waits for uploads
  using enum OnNonfinite;
  for (const auto& [clip_norm, tables, on_nonfinite] : {std::tuple{0.0F, false, error},
                                                        {0.01F, false, error},
                                                        {0.01F, true, error},
                                                        {0.0F, false, skip},
                                                        {0.01F, false, skip}}) {
    SCOPED_TRACE(testing::Message() << "clip_norm " << clip_norm << (tables ? ", with tables" : "")
                                    << (on_nonfinite == skip ? ", may skip" : ""));
    const std::unique_ptr<Backend> backend = on_simt();
    Config c = config();
    c.clip_norm = clip_norm;
    c.clip_tables = tables;
    c.on_nonfinite = on_nonfinite;
    const ModelSpec model = spec(c);
    LoaderOptions options;
    options.batch_size = c.batch_size;
    Loader loader(log_->train, model.inputs, BatchFeed::loader_options(*backend, options));
    BatchFeed feed(*backend, loader);
    Parameters parameters(backend->memory(), model);
    ThreadPool pool(1);
    parameters.initialise(c, pool);
    Trainer trainer(*backend, c, parameters, 100);
    ::simt::ApiCalls before{};
    for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
      if (epoch == 3) before = ::simt::api_calls();
      feed.start(0);  // the same batches every time
      while (const BatchView* batch = feed.next()) trainer.step(*batch);
    }
    const ::simt::ApiCalls after = ::simt::api_calls();
    EXPECT_EQ(after.allocations, before.allocations);
    EXPECT_EQ(after.releases, before.releases);
    EXPECT_EQ(after.launches, before.launches) << "every step is one launch of its graph";
    EXPECT_EQ(after.graph_launches, before.graph_launches + loader.batches_per_epoch());
    synchronisations.insert(after.synchronisations - before.synchronisations);
  }
  EXPECT_EQ(synchronisations.size(), 1U) << "neither adds any";
}

TEST_F(SimtRun, ClipsAsTheCpuDoesWithinTheRoundingOfItsStepsAndAlikeUnderEverySchedule) {
  Config clipped = config();
  clipped.epochs = 1;
  const Tensors free = train(clipped, on_simt()).tensors();
  clipped.clip_norm = 0.05F;
  for (const bool tables : {false, true}) {
    SCOPED_TRACE(tables ? "with tables" : "towers only");
    clipped.clip_tables = tables;
    const Tensors expected = train(clipped, on_cpu()).tensors();
    const Outcome device = train(clipped, on_simt());
    double count = 0.0, apart = 0.0;
    for (const auto& [name, values] : expected) count += static_cast<double>(values.size());
    // As above with five steps; and the factor limit / ‖g‖ <= 1 is off by at most ‖δg‖ / ‖g‖ of itself, which moves an
    // element |g_i| <= ‖g‖ by no more than ‖δg‖, or √count times the error of one gradient.
    const double tolerance = 5 * 0.32 * 300 * 0x1p-24 * 2 * (1 + std::sqrt(count));
    for (const auto& [name, values] : device.tensors()) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        ASSERT_NEAR(values[i], expected.at(name)[i], tolerance) << name << ' ' << i;
        apart = std::max(apart, std::fabs(static_cast<double>(values[i] - free.at(name)[i])));
      }
    }
    EXPECT_GT(apart, 10 * tolerance) << "the limit is exceeded";
    for (std::uint64_t seed = 2; seed <= 4; ++seed) {
      ::simt::set_schedule(seed);
      ASSERT_TRUE(train(clipped, on_simt()).bytes() == device.bytes()) << "schedule " << seed;
    }
  }
}

TEST_F(SimtRun, ARunIsTrainedOnOneDeviceAndContinuedOnAnother) {
  Config half = config();
  half.epochs = 1;
  const RunDirectory directory = new_run(half);
  {
    const auto backend = on_cpu();
    TrainingRun(*backend, half, spec(half), directory, log_->train, log_->test, {}).run();
  }
  const auto backend = on_simt();
  TrainingRun run(*backend, config(), spec(config()), directory, log_->train, log_->test, {});
  run.resume(directory.checkpoint_path(directory.checkpoints().back()));
  EXPECT_EQ(run.run().state.step, 10);
  const Tensors expected = train(config(), on_cpu()).tensors();
  const double tolerance = 5 * 0.32 * 300 * 0x1p-24 * 2;  // as above; five steps were the CPU's own
  for (const auto& [name, values] : Outcome{{}, directory.model_path()}.tensors()) {
    for (std::size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(values[i], expected.at(name)[i], tolerance) << name;
  }
}

}  // namespace
}  // namespace esmm
