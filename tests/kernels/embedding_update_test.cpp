#include <gtest/gtest.h>

#include <bit>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/embedding.hpp"
#include "tests/support/allocation_counter.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/on_backend.hpp"
#include "tests/support/optimizers.hpp"
#include "tests/support/random_bags.hpp"

namespace esmm::test {
namespace {

constexpr std::int64_t kTable = 5000;

/// The embedding half of training steps: pool, sort, update.
class Steps {
 public:
  Steps(std::unique_ptr<Backend> backend_, OptimizerKind kind, std::int64_t dim)
      : backend(std::move(backend_)), optimizer(demanding_optimizer(kind)), scale(upload(*backend, std::vector{0.7F})) {
    optimizer.gradient_scale = scale.data();
    // Some 44,000 ids: twenty chunks of work, and rows so frequent that they are summed in pieces.
    std::mt19937 random(7);
    sample.emplace(*backend,
                   make_random_bags({.rows = 2000, .fields = 5, .table_rows = kTable, .mean_ids = 2}, random));
    common.emplace(*backend,
                   make_random_bags({.rows = 40, .fields = 3, .table_rows = kTable, .mean_ids = 200}, random));
    const auto matrix = [&](std::int64_t rows, std::int64_t cols) {
      return std::make_unique<BackendMatrix>(*backend, rows, cols, cols, random_floats(rows * cols, random));
    };
    weights = matrix(kTable, dim);
    state = std::make_unique<BackendMatrix>(*backend, kTable, state_width(kind, dim), state_width(kind, dim));
    initialise_state(*backend, optimizer.config, state->view(), dim);
    pooled_sample = matrix(2000, 5 * dim);
    pooled_common = matrix(40, 3 * dim);
    sorted = backend->make_sorted_ids();
  }

  /// The pooled embeddings serve as their own gradient (that of half their squares).
  void pool() {
    pool_embeddings(*backend, sample->view(), weights->view(), pooled_sample->view());
    pool_embeddings(*backend, common->view(), weights->view(), pooled_common->view());
    sort_ids(*backend, sample->view(), common->view(), *sorted);
  }
  void fused_step() {
    pool();
    update_embeddings(*backend, *sorted, sample->view(), common->view(), pooled_sample->view(), pooled_common->view(),
                      optimizer, {weights->view(), state->view()});
    ++optimizer.step;
  }
  void step_in_two() {
    pool();
    gradient();
    update_rows(*backend, *sorted, optimizer, {weights->view(), state->view()});
    ++optimizer.step;
  }
  void gradient() {
    embedding_gradient(*backend, *sorted, sample->view(), common->view(), pooled_sample->view(), pooled_common->view(),
                       weights->cols);
  }
  /// A step of all gradients, those of `towers` too, limited to a norm that they exceed.
  void clipped_step(const Buffer<float>& towers, float limit) {
    pool();
    gradient();
    clipping_scale(*backend, towers.span(), sorted.get(), limit, scale.data());
    update_rows(*backend, *sorted, optimizer, {weights->view(), state->view()});
    ++optimizer.step;
  }
  /// Every bit of the weights and their state.
  [[nodiscard]] std::vector<std::uint32_t> bits() const {
    std::vector<std::uint32_t> all;
    for (const BackendMatrix* matrix : {weights.get(), state.get(), pooled_sample.get(), pooled_common.get()}) {
      for (const float value : download(matrix->buffer)) all.push_back(std::bit_cast<std::uint32_t>(value));
    }
    return all;
  }

  std::unique_ptr<Backend> backend;
  OptimizerStep optimizer;
  Buffer<float> scale;  // of the gradient
  std::optional<BackendBags> sample;
  std::optional<BackendBags> common;
  std::unique_ptr<BackendMatrix> weights;
  std::unique_ptr<BackendMatrix> state;
  std::unique_ptr<BackendMatrix> pooled_sample;
  std::unique_ptr<BackendMatrix> pooled_common;
  std::unique_ptr<SortedIds> sorted;
};

class EmbeddingUpdate : public testing::TestWithParam<BackendCase> {};

TEST_P(EmbeddingUpdate, FusedEqualsGradientThenUpdateBitForBit) {
  for (const OptimizerKind kind : kAllOptimizers) {
    for (const std::int64_t dim : {3, 8, 18, 33}) {
      Steps fused(GetParam().make(), kind, dim);
      Steps in_two(GetParam().make(), kind, dim);
      for (int step = 0; step < 3; ++step) {
        fused.fused_step();
        in_two.step_in_two();
      }
      EXPECT_EQ(fused.bits(), in_two.bits()) << name_of(kind) << ", dim " << dim;
    }
  }
}

TEST_P(EmbeddingUpdate, NothingIsAllocatedAfterTheFirstStep) {
  const bool on_device = !GetParam().make()->memory_is_host();
  if (!on_device && allocations() < 0) GTEST_SKIP() << "the sanitizers have their own operator new";
  if (on_device && !GetParam().allocations) GTEST_SKIP() << "the driver's allocations are not counted";
  const auto allocations = on_device ? GetParam().allocations : test::allocations;
  for (const OptimizerKind kind : kAllOptimizers) {
    Steps steps(GetParam().make(), kind, 18);
    const Buffer<float> towers = upload(*steps.backend, std::vector<float>(40000, 0.3F));
    const std::int64_t before = allocations();
    steps.fused_step();
    steps.step_in_two();
    steps.clipped_step(towers, 1.0F);
    const std::int64_t after_first = allocations();
    EXPECT_GT(after_first, before) << "the counter counts";
    for (int step = 0; step < 3; ++step) {
      steps.fused_step();
      steps.step_in_two();
      steps.clipped_step(towers, 1.0F);
    }
    EXPECT_EQ(allocations(), after_first) << name_of(kind);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, EmbeddingUpdate, testing::ValuesIn(backends()), BackendName{});

TEST(CpuEmbeddingUpdate, GivesTheSameBytesWhateverTheNumberOfThreads) {
  for (const OptimizerKind kind : kAllOptimizers) {
    const auto run = [&](int threads) {
      Steps steps(make_cpu_backend(threads), kind, 18);
      const Buffer<float> towers = upload(*steps.backend, std::vector<float>(40000, 0.3F));
      for (int step = 0; step < 2; ++step) steps.fused_step();
      steps.step_in_two();
      steps.clipped_step(towers, 1.0F);
      return std::pair{steps.bits(), steps.scale.data()[0]};
    };
    const auto expected = run(1);
    for (const int threads : {2, 3, 7}) EXPECT_EQ(run(threads), expected) << name_of(kind) << ", " << threads;
  }
}

TEST(CpuDenseUpdate, GivesTheSameBytesWhateverTheNumberOfThreads) {
  for (const OptimizerKind kind : kAllOptimizers) {
    if (kind == OptimizerKind::rowwise_adagrad) continue;
    const auto run = [&](int threads) {
      const std::unique_ptr<Backend> backend = make_cpu_backend(threads);
      std::mt19937 random(11);
      OptimizerStep optimizer = demanding_optimizer(kind);
      std::vector<float> weights = random_floats(30001, random);
      std::vector<float> state(static_cast<std::size_t>(state_width(kind, 30001)));
      for (; optimizer.step < 4; ++optimizer.step) {
        update_dense(*backend, weights, random_floats(30001, random), state, optimizer);
      }
      return std::pair{weights, state};
    };
    const auto expected = run(1);
    for (const int threads : {2, 3, 7}) EXPECT_EQ(run(threads), expected) << name_of(kind) << ", " << threads;
  }
}

}  // namespace
}  // namespace esmm::test
