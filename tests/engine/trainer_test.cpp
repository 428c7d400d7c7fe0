#include "engine/trainer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/error.hpp"
#include "tests/support/allocation_counter.hpp"
#include "tests/support/toy_model.hpp"

namespace esmm {
namespace {

using test::toy_batch;
using test::toy_config;
using test::toy_spec;

/// Trainer and everything it stands on, from one configuration.
struct Bench {
  explicit Bench(const Config& config_, int threads = 2, std::int64_t total_steps = 100)
      : config(config_),
        backend(make_cpu_backend(threads)),
        parameters(backend->memory(), toy_spec(config)),
        trainer(*backend, config, parameters, total_steps) {
    ThreadPool pool(1);
    parameters.initialise(config, pool);
  }
  [[nodiscard]] std::vector<float> bytes() const {
    std::vector<float> all;
    const MatrixView<float> t = parameters.tables();
    for (std::int64_t r = 0; r < t.rows; ++r) all.insert(all.end(), t.row(r), t.row(r) + t.cols);
    const auto towers = parameters.towers().flat();
    all.insert(all.end(), towers.begin(), towers.end());
    return all;
  }
  /// Of the optimizer.
  [[nodiscard]] std::vector<float> state() {
    std::vector<float> all;
    for (const StridedTensor& t : trainer.optimizer().tensors()) {
      for (std::int64_t r = 0; r < t.rows; ++r) {
        const float* row = t.data + r * t.stride;
        all.insert(all.end(), row, row + t.cols);
      }
    }
    return all;
  }
  Config config;
  std::unique_ptr<Backend> backend;
  Parameters parameters;
  Trainer trainer;
};

class TrainerGradient : public testing::TestWithParam<Activation> {};
INSTANTIATE_TEST_SUITE_P(Activations, TrainerGradient, testing::Values(Activation::relu, Activation::prelu),
                         [](const auto& param) { return param.param == Activation::relu ? "Relu" : "Prelu"; });

// With SGD at rate 1 the step is the negative gradient, read from the parameters before and after.
TEST_P(TrainerGradient, OfEveryParameterMatchesFiniteDifferencesOfTheDoubleReference) {
  Config config = toy_config(GetParam());
  config.optimizer = OptimizerKind::sgd;
  config.lr = 1.0F;
  Bench bench(config);
  const HostBatch batch = toy_batch(bench.parameters.spec(), 37, 11);
  reference::Esmm before = test::to_reference(config, bench.parameters);
  const std::vector<reference::Impression> impressions = test::to_reference(batch);
  bench.trainer.step(batch.view());
  const reference::Esmm after = test::to_reference(config, bench.parameters);

  // 37 impressions of at most 25 + 11 inputs and 11 hidden units: a few hundred float additions of terms below 1, so
  // 500 · 2^-24 = 3e-5; old - new rounds at the size of the parameter, 2^-24 · 2. The difference quotient adds 1e-9.
  constexpr double kBound = 4e-5, kStep = 1e-5;
  for (auto& [name, values] : before.parameters) {
    double largest = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double old = values[i];
      values[i] = old + kStep;
      const double up = reference::loss(before, impressions);
      values[i] = old - kStep;
      const double down = reference::loss(before, impressions);
      values[i] = old;
      const double expected = (up - down) / (2 * kStep);
      ASSERT_NEAR(old - after.parameters.at(name)[i], expected, kBound) << name << "[" << i << "]";
      largest = std::max(largest, std::fabs(expected));
    }
    EXPECT_GT(largest, 100 * kBound) << name << " has no gradient worth comparing";
  }
}

TEST_P(TrainerGradient, LossOfAStepEqualsTheDoubleReference) {
  const Config config = toy_config(GetParam());
  Bench bench(config);
  const HostBatch batch = toy_batch(bench.parameters.spec(), 65, 5);
  const double expected = reference::loss(test::to_reference(config, bench.parameters), test::to_reference(batch));
  bench.trainer.step(batch.view());
  const double loss = bench.trainer.take_losses().back().total(bench.trainer.objective());
  EXPECT_NEAR(loss, expected, 1e-5);  // per row at most ~100 float roundings of logits of order 1
}

TEST(Trainer, LossesTakenLateAreThoseTakenAfterEveryStep) {
  Bench often(toy_config(Activation::prelu)), late(toy_config(Activation::prelu));
  EXPECT_TRUE(often.trainer.take_losses().empty());
  std::vector<TaskLosses> expected;
  for (std::uint64_t step = 0; step < 7; ++step) {
    const HostBatch batch = toy_batch(often.parameters.spec(), 50, step);
    often.trainer.step(batch.view());
    ASSERT_EQ(often.trainer.pending_losses(), 1);
    expected.push_back(often.trainer.take_losses().back());
    late.trainer.step(batch.view());
  }
  EXPECT_EQ(late.trainer.pending_losses(), 7);
  const std::span<const StepLosses> taken = late.trainer.take_losses();
  ASSERT_EQ(taken.size(), expected.size());
  for (std::size_t i = 0; i < taken.size(); ++i) {
    EXPECT_EQ(taken[i].ctr, expected[i].ctr);
    EXPECT_EQ(taken[i].conversion, expected[i].conversion);
  }
  EXPECT_EQ(late.trainer.pending_losses(), 0);
}

TEST(Trainer, RefusesToForgetALoss) {
  Bench bench(toy_config(Activation::relu));
  const HostBatch batch = toy_batch(bench.parameters.spec(), 2, 1);
  for (std::int64_t step = 0; step < Trainer::kMostPendingLosses; ++step) bench.trainer.step(batch.view());
  EXPECT_THROW(bench.trainer.step(batch.view()), Error);
  EXPECT_EQ(bench.trainer.take_losses().size(), static_cast<std::size_t>(Trainer::kMostPendingLosses));
  EXPECT_NO_THROW(bench.trainer.step(batch.view()));
}

TEST(Trainer, GivesTheSameBytesWhateverTheNumberOfThreads) {
  Config config = toy_config(Activation::prelu);
  config.dropout = 0.3F;
  config.embedding_l2 = 1e-3F;
  for (const OptimizerKind kind : {OptimizerKind::adam, OptimizerKind::adagrad, OptimizerKind::rowwise_adagrad,
                                   OptimizerKind::ftrl, OptimizerKind::sgd}) {
    config.optimizer = kind;
    for (const float clip_norm : {0.0F, 0.05F}) {
      config.clip_norm = clip_norm;
      config.clip_tables = clip_norm > 0;
      std::vector<float> first;
      for (const int threads : {1, 2, 5}) {
        Bench bench(config, threads);
        for (std::uint64_t step = 0; step < 6; ++step) {
          bench.trainer.step(toy_batch(bench.parameters.spec(), 150 + static_cast<std::int64_t>(step), step).view());
        }
        const std::vector<float> now = bench.bytes();
        if (first.empty()) first = now;
        ASSERT_EQ(first.size(), now.size());
        EXPECT_EQ(std::memcmp(first.data(), now.data(), now.size() * sizeof(float)), 0) << threads << " threads";
      }
    }
  }
}

TEST(Trainer, ClippingScalesTheWholeGradientToTheGivenNorm) {
  Config config = toy_config(Activation::relu);
  config.optimizer = OptimizerKind::sgd;
  config.lr = 1.0F;
  const auto moved = [&](float clip_norm, bool tables) {
    Config clipped = config;
    clipped.clip_norm = clip_norm;
    clipped.clip_tables = tables;
    Bench bench(clipped);
    const std::vector<float> before = bench.bytes();
    bench.trainer.step(toy_batch(bench.parameters.spec(), 40, 3).view());
    std::vector<float> step = bench.bytes();
    for (std::size_t i = 0; i < step.size(); ++i) step[i] = before[i] - step[i];
    return step;
  };
  const auto norm = [](const std::vector<float>& values) {
    double sum = 0;
    for (const float v : values) sum += static_cast<double>(v) * static_cast<double>(v);
    return std::sqrt(sum);
  };
  const std::vector<float> free = moved(0.0F, false);
  ASSERT_GT(norm(free), 0.1);
  EXPECT_NEAR(norm(moved(0.05F, true)), 0.05, 1e-5);
  EXPECT_EQ(moved(1000.0F, true), free) << "a norm below the limit is left alone";
  // Without the tables only the towers are scaled, and the tables move as if nothing were clipped.
  const std::vector<float> towers_only = moved(0.05F, false);
  const auto tables = static_cast<std::size_t>(toy_spec(config).arena_rows() * config.dim);
  const std::vector<float> tower_part(towers_only.begin() + static_cast<std::ptrdiff_t>(tables), towers_only.end());
  EXPECT_NEAR(norm(tower_part), 0.05, 1e-5);
  EXPECT_TRUE(std::equal(free.begin(), free.begin() + static_cast<std::ptrdiff_t>(tables), towers_only.begin()));
}

// Adam's bias correction and schedules go by the number of the step, so that only its own step leaves no trace of it.
TEST(Trainer, ABatchThatIsNotFiniteIsSkippedAsIfItHadNotBeenThere) {
  Config config = toy_config(Activation::prelu);
  config.embedding_l2 = config.tower_l2 = 1e-3F;
  config.on_nonfinite = OnNonfinite::skip;
  for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adagrad, OptimizerKind::rowwise_adagrad,
                                   OptimizerKind::ftrl, OptimizerKind::adam}) {
    config.optimizer = kind;
    for (const auto& [clip_norm, clip_tables] : {std::pair{0.0F, false}, {0.05F, false}, {0.05F, true}}) {
      config.clip_norm = clip_norm;
      config.clip_tables = clip_tables;
      Bench bench(config), without(config);
      const HostBatch before = toy_batch(bench.parameters.spec(), 60, 1),
                      after = toy_batch(without.parameters.spec(), 60, 2);
      HostBatch large = before, infinite = before;
      large.sample_weights.back() = 1e30F;  // a finite loss whose gradient's square is none
      infinite.dense.front() = std::numeric_limits<float>::infinity();
      for (const HostBatch* bad : {&large, &infinite}) {
        bench.trainer.step(before.view());
        const std::vector<float> parameters = bench.bytes(), state = bench.state();
        bench.trainer.step(bad->view());
        EXPECT_EQ(bench.bytes(), parameters);
        EXPECT_EQ(bench.state(), state);
        bench.trainer.step(after.view());
        without.trainer.step(before.view());
        without.trainer.step(after.view());
      }
      if (kind != OptimizerKind::adam) {
        EXPECT_EQ(bench.bytes(), without.bytes());
        EXPECT_EQ(bench.state(), without.state());
      }
      const std::span<const StepLosses> losses = bench.trainer.take_losses();
      for (std::size_t i = 0; i < losses.size(); ++i) {
        EXPECT_EQ(losses[i].skipped, i % 3 == 1 ? 1 : 0) << i;
        EXPECT_EQ(std::isfinite(losses[i].total(bench.trainer.objective())), i != 4) << i;
      }
    }
  }
}

TEST(Trainer, ReadyToSkipItTrainsAsItDoesOtherwise) {
  Config config = toy_config(Activation::prelu);
  const auto bytes = [&](OnNonfinite on_nonfinite) {
    config.on_nonfinite = on_nonfinite;
    Bench bench(config);
    for (std::uint64_t step = 0; step < 5; ++step)
      bench.trainer.step(toy_batch(bench.parameters.spec(), 150, step).view());
    return bench.bytes();
  };
  EXPECT_EQ(bytes(OnNonfinite::skip), bytes(OnNonfinite::error));
}

TEST(Trainer, LearnsALogThatItsFeaturesDecide) {
  Config config = toy_config(Activation::prelu);
  config.lr = 0.02F;
  config.hidden = {16, 8};
  Bench bench(config);
  HostBatch batch = toy_batch(bench.parameters.spec(), 400, 1);
  for (std::size_t b = 0; b < batch.click.size(); ++b) {  // click: the first dense column; conversion: the second
    batch.click[b] = batch.dense[2 * b] > 0 ? 1 : 0;
    batch.conversion[b] = batch.click[b] == 1 && batch.dense[2 * b + 1] > 0 ? 1 : 0;
  }
  bench.trainer.step(batch.view());
  const double first = bench.trainer.take_losses().back().total({});
  for (int step = 0; step < 150; ++step) bench.trainer.step(batch.view());
  EXPECT_LT(bench.trainer.take_losses().back().total({}), 0.25 * first);
}

TEST(Trainer, AStepAllocatesNothingOnceTheLargestBatchHasBeenSeen) {
  if (test::allocations() < 0) GTEST_SKIP() << "a sanitizer owns operator new";
  Config config = toy_config(Activation::prelu);
  config.dropout = 0.1F;
  for (const float clip_norm : {0.0F, 0.05F}) {
    config.clip_norm = clip_norm;
    config.clip_tables = clip_norm > 0;
    config.on_nonfinite = clip_norm > 0 ? OnNonfinite::skip : OnNonfinite::error;
    Bench bench(config);
    const HostBatch large = toy_batch(bench.parameters.spec(), 300, 1);
    const HostBatch small = toy_batch(bench.parameters.spec(), 70, 2);
    bench.trainer.step(large.view());
    bench.trainer.step(small.view());  // its remainder of a tile may compile a kernel
    const std::int64_t before = test::allocations();
    for (int step = 0; step < 5; ++step) {
      bench.trainer.step(small.view());
      bench.trainer.step(large.view());
    }
    EXPECT_EQ(test::allocations(), before);
  }
}

TEST(Trainer, UntouchedRowsDoNotMove) {
  Config config = toy_config(Activation::relu);
  config.embedding_l2 = 0.1F;
  Bench bench(config);
  HostBatch batch = toy_batch(bench.parameters.spec(), 30, 2);
  for (std::uint32_t& row : batch.sample_rows) row = row == 3 ? 4 : row;
  const MatrixView<float> tables = bench.parameters.tables();
  const std::vector<float> before(tables.row(3), tables.row(3) + tables.cols);
  for (int step = 0; step < 3; ++step) bench.trainer.step(batch.view());
  EXPECT_TRUE(std::equal(before.begin(), before.end(), tables.row(3)));
}

}  // namespace
}  // namespace esmm
