#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/error.hpp"
#include "kernels/towers.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/on_backend.hpp"
#include "tests/support/tower_net.hpp"

// What the towers promise about batches, memory and repetition; towers_test.cpp has the values.
namespace esmm::test {
namespace {

class TowerBatches : public testing::TestWithParam<BackendCase> {
 protected:
  /// Results of batches or rows of different shapes: equal, but for cuBLASLt, which may take another kernel for each.
  static void expect_same(const std::vector<float>& values, const std::vector<float>& expected,
                          const std::vector<double>& magnitude, double bound, const char* what) {
    if (GetParam().name == "cuda" || GetParam().name == "cuda_chain_bf16") {
      expect_close(values, {expected.begin(), expected.end()}, magnitude, 2 * bound, what);
    } else {
      EXPECT_EQ(values, expected) << what;
    }
  }

  std::unique_ptr<Backend> backend_ = GetParam().make();
};
INSTANTIATE_TEST_SUITE_P(Backends, TowerBatches, testing::ValuesIn(tower_backends()), BackendName{});

TEST(TowersThreads, TheNumberOfThreadsDoesNotChangeOneBit) {
  const TowerNet net({21, 19, {65, 33}, Activation::prelu, 0.2F}, {100, 0, 7, 300, 129}, 3);
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    const auto one = run(*make_cpu_backend(1, precision), net, {true, 5, 6});
    for (const int threads : {2, 3, 7}) {
      const auto many = run(*make_cpu_backend(threads, precision), net, {true, 5, 6});
      EXPECT_EQ(one.logits, many.logits);
      EXPECT_EQ(one.gradients, many.gradients);
      EXPECT_EQ(one.dcommon, many.dcommon);
      EXPECT_EQ(one.dsample, many.dsample);
    }
  }
}

TEST(TowersThreads, BlocksOfWeightGradientsThatDependOnTheNumberOfThreadsDoNotChangeOneBit) {
  const TowerNet net({40, 215, {130, 70}, Activation::relu, 0.0F}, {100, 129}, 3);
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    const auto few = run(*make_cpu_backend(2, precision), net), many = run(*make_cpu_backend(5, precision), net);
    EXPECT_EQ(few.gradients, many.gradients);
    EXPECT_EQ(few.dsample, many.dsample);
  }
}

TEST_P(TowerBatches, AnImpressionsLogitsDoNotDependOnTheRestOfTheBatch) {
  const TowerNet whole({4, 5, {33, 7}, Activation::prelu, 0.0F}, {40, 60}, 8);
  TowerNet alone({4, 5, {33, 7}, Activation::prelu, 0.0F}, {1}, 8);
  alone.common.assign(whole.common.begin() + 4, whole.common.end());
  alone.sample.assign(whole.sample.begin() + 5 * 70, whole.sample.begin() + 5 * 71);
  const auto expected = run(*backend_, whole).logits;
  const auto results = run(*backend_, alone);
  expect_same(results.logits, {expected.begin() + 140, expected.begin() + 142},
              magnitude_run(alone, results, false).logits, forward_bound(alone.shape, results.bf16), "logit");
}

TEST_P(TowerBatches, ASecondRunGivesTheSameBytes) {
  const TowerNet net({21, 19, {65, 33}, Activation::prelu, 0.2F}, {100, 0, 7, 300, 129}, 3);
  const auto one = run(*backend_, net, {true, 5, 6}), other = run(*backend_, net, {true, 5, 6});
  EXPECT_EQ(one.logits, other.logits);
  EXPECT_EQ(one.gradients, other.gradients);
  EXPECT_EQ(one.dcommon, other.dcommon);
  EXPECT_EQ(one.dsample, other.dsample);
}

TEST_P(TowerBatches, ARecordedPassTakesTheStepOfItsDropoutAnew) {
  const TowerNet net({4, 5, {33, 7}, Activation::prelu, 0.4F}, {40, 60}, 1);
  TowerWorkspace workspace(backend_->memory());
  TowerRun recorded(*backend_, net, workspace);
  for (std::uint64_t step = 1; step <= 4; ++step) {
    replay(*backend_, {net.impressions, net.common_rows, 0, 0}, [&] {
      recorded.forward({true, 7, step});
      recorded.backward({true, 7, step});
    });
    const auto results = recorded.results(), expected = run(*backend_, net, {true, 7, step});
    EXPECT_EQ(results.logits, expected.logits);
    EXPECT_EQ(results.gradients, expected.gradients);
  }
}

/// Adds `common_rows` without impressions and `impressions` without a gradient; both hold `value`.
TowerNet with_padding(TowerNet net, std::int64_t common_rows, std::int64_t impressions, float value) {
  const auto add = [&](std::vector<float>& to, std::int64_t count, float filling) {
    to.insert(to.end(), static_cast<std::size_t>(count), filling);
  };
  add(net.common, common_rows * net.shape.common_inputs, value);
  add(net.sample, impressions * net.shape.sample_inputs, value);
  add(net.dlogits, impressions * kTowers, 0.0F);
  net.common_begin.insert(net.common_begin.end(), static_cast<std::size_t>(common_rows), net.common_begin.back());
  net.common_rows += common_rows;
  net.impressions += impressions;
  return net;
}

TEST_P(TowerBatches, PaddedRowsContributeExactlyNothing) {
  if (backend_->memory_is_host()) GTEST_SKIP() << "the CPU takes batches of any size as they are";
  const TowerNet net({5, 9, {20, 7}, Activation::prelu, 0.0F}, {30, 0, 61}, 6);
  const auto expected = run(*backend_, net);
  const auto padded = run(*backend_, with_padding(net, 3, 70, 0.0F));
  const auto stale = run(*backend_, with_padding(net, 3, 70, 1000.0F));
  EXPECT_EQ(padded.gradients, stale.gradients);
  EXPECT_EQ(padded.dcommon, stale.dcommon);
  EXPECT_EQ(padded.dsample, stale.dsample);
  EXPECT_TRUE(std::equal(padded.logits.begin(), padded.logits.begin() + net.impressions * 2, stale.logits.begin()));
  const auto real = [](std::vector<float> values, std::size_t size) {
    EXPECT_TRUE(std::all_of(values.begin() + static_cast<std::ptrdiff_t>(size), values.end(),
                            [](float value) { return value == 0.0F; }));
    values.resize(size);
    return values;
  };
  const auto doubled = [](const std::vector<float>& values) {
    return std::vector<double>(values.begin(), values.end());
  };
  const auto magnitude = magnitude_run(net, expected, false);
  const double bound = 2 * backward_bound(net, expected.bf16);  // products of other shapes may be summed otherwise
  expect_close(padded.gradients, doubled(expected.gradients), magnitude.gradients, bound, "gradient");
  expect_close(real(padded.dcommon, net.common.size()), doubled(expected.dcommon), magnitude.dcommon, bound, "dcommon");
  expect_close(real(padded.dsample, net.sample.size()), doubled(expected.dsample), magnitude.dsample, bound, "dsample");
}

class CountingMemory : public Memory {
 public:
  explicit CountingMemory(Memory& memory) : memory_(memory) {}
  void* allocate(std::size_t bytes) override {
    ++allocations;
    return memory_.allocate(bytes);
  }
  void release(void* pointer) noexcept override { memory_.release(pointer); }
  void copy_from_host(void* to, const void* from, std::size_t bytes) override {
    memory_.copy_from_host(to, from, bytes);
  }
  void copy_to_host(void* to, const void* from, std::size_t bytes) const override {
    memory_.copy_to_host(to, from, bytes);
  }
  void zero(void* to, std::size_t bytes) override { memory_.zero(to, bytes); }
  [[nodiscard]] std::int64_t row_stride(std::int64_t columns) const override { return memory_.row_stride(columns); }
  int allocations = 0;

 private:
  Memory& memory_;
};

TEST_P(TowerBatches, TheWorkspaceAllocatesNoMoreAfterTheLargestBatch) {
  CountingMemory memory(backend_->memory());
  TowerWorkspace workspace(memory);
  const TowerShape shape{4, 5, {33, 7}, Activation::prelu, 0.2F};
  const TowerNet large(shape, {40, 60}, 1), small(shape, {30}, 2);
  const auto first = run(*backend_, large, {true, 1, 1}, workspace);
  const int allocations = memory.allocations;
  EXPECT_GT(allocations, 0);
  EXPECT_EQ(run(*backend_, small, {true, 1, 1}, workspace).gradients, run(*backend_, small, {true, 1, 1}).gradients);
  EXPECT_EQ(run(*backend_, large, {true, 1, 1}, workspace).gradients, first.gradients);
  EXPECT_EQ(memory.allocations, allocations);
}

TEST_P(TowerBatches, TheGradientOfTheFirstSampleInputsAloneEqualsThoseColumnsOfAll) {
  const TowerNet net({4, 7, {9}, Activation::relu, 0.0F}, {5, 6}, 4);
  const auto all = run(*backend_, net);
  const auto flat = upload(*backend_, net.parameters);
  const auto begin = upload(*backend_, net.common_begin);
  const BackendMatrix common(*backend_, 2, 4, 4, net.common), sample(*backend_, 11, 7, 7, net.sample);
  const BackendMatrix dcommon(*backend_, 2, 4, 4), dsample(*backend_, 11, 5, 5), logits(*backend_, 11, 2, 2);
  const BackendMatrix dlogits(*backend_, 11, 2, 2, net.dlogits);
  const Buffer<float> gradients(backend_->memory(), flat.size());
  const auto parameters = tower_views(net.shape, std::span<const float>(flat.span()));
  const TowerInputs inputs{common.view(), sample.view(), begin.span()};
  TowerWorkspace workspace(backend_->memory());
  towers_forward(*backend_, net.shape, parameters, inputs, {}, workspace, logits.view());
  towers_backward(*backend_, net.shape, parameters, inputs, {}, dlogits.view(), workspace,
                  tower_views(net.shape, gradients.span()), dcommon.view(), dsample.view());
  const auto first = [](const auto& values) {  // five of each row of seven
    auto result = values;
    for (std::size_t i = 0; i < 11 * 5; ++i) result[i] = values[i / 5 * 7 + i % 5];
    result.resize(11 * 5);
    return result;
  };
  const auto magnitude = magnitude_run(net, all, false);
  const double bound = backward_bound(net, all.bf16);
  expect_same(download(dsample.buffer), first(all.dsample), first(magnitude.dsample), bound, "dsample");
  expect_same(download(gradients), all.gradients, magnitude.gradients, bound, "gradient");
}

TEST_P(TowerBatches, RejectsShapesThatDisagree) {
  TowerNet net({4, 7, {9, 3}, Activation::prelu, 0.0F}, {5, 6}, 4);
  const auto broken = [&](auto&& change) {
    TowerNet copy = net;
    change(copy);
    return copy;
  };
  EXPECT_THROW((void)run(*backend_, broken([](TowerNet& n) { n.common_begin.pop_back(); })), Error);
  if (backend_->memory_is_host()) {  // elsewhere impressions behind the last group are padding
    EXPECT_THROW((void)run(*backend_, broken([](TowerNet& n) { n.common_begin.back() = 10; })), Error);
  }
  EXPECT_THROW((void)run(*backend_, broken([](TowerNet& n) { n.shape.dropout = 1.0F; })), Error);
  TowerShape other = net.shape;
  other.hidden = {9, 4};
  std::vector<float> flat(static_cast<std::size_t>(parameter_count(other))), logits(22);
  const auto parameters = tower_views(other, std::span<const float>(flat));
  TowerWorkspace workspace(backend_->memory());
  const TowerInputs inputs{{net.common.data(), 2, 4}, {net.sample.data(), 11, 7}, net.common_begin};
  EXPECT_THROW(towers_forward(*backend_, net.shape, parameters, inputs, {}, workspace, {logits.data(), 11, 2}), Error);
}

}  // namespace
}  // namespace esmm::test
