#include "kernels/cuda/tower_engine.hpp"

#include <gtest/gtest.h>

#include "kernels/cuda/make_backend.hpp"
#include "tests/simt/simt.hpp"
#include "tests/support/tower_net.hpp"

namespace esmm::test {
namespace {

/// How often a kernel ran while `work` did.
template <class Work>
std::int64_t launches(const std::string& kernel, const Work& work) {
  const std::int64_t before = ::simt::launched_kernels()[kernel];
  work();
  return ::simt::launched_kernels()[kernel] - before;
}

TEST(TowerEngine, FusedKernelsTakeShapesThatFitAndTheChainTakesTheOthers) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    const auto backend = esmm::simt::make_backend({0, precision, TowerKernels::fused});
    const TowerNet fits({2, 3, {8, 4}, Activation::prelu, 0.0F}, {3}, 1);
    const TowerNet wide({2, 3, {8, 1500}, Activation::prelu, 0.0F}, {3}, 1);
    const TowerNet deep({2, 3, {4, 4, 4, 4, 4, 4, 4, 4, 4}, Activation::prelu, 0.0F}, {3}, 1);
    EXPECT_EQ(launches("fused_forward_kernel", [&] { (void)run(*backend, fits); }), 1);
    EXPECT_EQ(launches("forward_units", [&] { (void)run(*backend, fits); }), 0);
    EXPECT_EQ(launches("forward_units", [&] { (void)run(*backend, wide); }), 2);
    EXPECT_EQ(launches("forward_units", [&] { (void)run(*backend, deep); }), 9);
  }
}

TEST(TowerEngine, FusedKernelsThatWereAskedForInVainAreReportedWithTheFigures) {
  const auto choice = [](const std::vector<std::int64_t>& hidden) {
    const auto backend = esmm::simt::make_backend({0, Precision::fp32, TowerKernels::fused});
    return backend->choose_towers({2, 3, hidden, Activation::prelu, 0.0F}, 100, 7, false);
  };
  EXPECT_EQ(choice({8, 4}).kernels, TowerKernels::fused);
  EXPECT_EQ(choice({8, 4}).warning, "");
  const TowerChoice wide = choice({8, 1500});
  EXPECT_EQ(wide.kernels, TowerKernels::chain) << "what computes them is what a run records";
  EXPECT_EQ(wide.description, "chain");
  // docs/kernels.md, Fused: backward's 64·(Y0 + Y1)·4 + R with Y0 = C(8) + 4 and Y1 = C(1500) + 4 is less than
  // forward's 64·(X0 + X1 + 8)·4 + R + 256 with X0 = C(1500) = 1504, X1 = C(8) = 32, R = 33,792: 429,312.
  EXPECT_EQ(
      wide.warning,
      "--towers fused: a tile needs 429312 bytes of shared memory and a block of this GPU has 232448, so the chain "
      "computes these towers. To fuse them, lower --hidden.");
  EXPECT_EQ(
      choice({4, 4, 4, 4, 4, 4, 4, 4, 4}).warning,
      "--towers fused: there are 9 hidden layers and the fused kernels take 8, so the chain computes these towers. "
      "To fuse them, lower --hidden.");
}

TEST(TowerEngine, TheOrderOfBlocksAndThreadsDoesNotChangeOneBit) {
  const TowerNet net({9, 7, {20, 10}, Activation::prelu, 0.3F}, {40, 0, 70, 100}, 2);
  for (const TowerKernels kernels : {TowerKernels::chain, TowerKernels::fused}) {
    const auto backend = esmm::simt::make_backend({0, Precision::bf16, kernels});
    const auto expected = run(*backend, net, {true, 1, 2});
    for (std::uint64_t schedule = 1; schedule <= 5; ++schedule) {
      ::simt::set_schedule(schedule);
      const auto results = run(*backend, net, {true, 1, 2});
      EXPECT_EQ(results.logits, expected.logits);
      EXPECT_EQ(results.gradients, expected.gradients);
      EXPECT_EQ(results.dcommon, expected.dcommon);
      EXPECT_EQ(results.dsample, expected.dsample);
    }
  }
}

TEST(TowerEngine, TheMeasuredChoiceRunsBothKernelsAndUnderEmulationKeepsTheChain) {
  esmm::simt::Stream stream;
  esmm::simt::DeviceMemory memory(stream);
  esmm::simt::CommandQueue queue(stream, memory);
  esmm::simt::TowerEngine engine(queue, memory, {0, Precision::fp32, TowerKernels::measured});
  EXPECT_EQ(engine.chosen(), TowerKernels::measured);
  const TowerShape shape{2, 3, {8, 4}, Activation::prelu, 0.5F};
  const auto calibrate = [&] { engine.calibrate(shape, 100, 7, true); };
  EXPECT_GT(launches("fused_backward_kernel", calibrate), 0);
  EXPECT_EQ(engine.chosen(), TowerKernels::chain);
  EXPECT_EQ(engine.choice(), "chain");
  EXPECT_EQ(launches("backward_units", calibrate), 0) << "measured once is enough";
}

}  // namespace
}  // namespace esmm::test
