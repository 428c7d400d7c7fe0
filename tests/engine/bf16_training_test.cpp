#include <gtest/gtest.h>

#include <cmath>

#include "engine/device.hpp"
#include "engine/trainer.hpp"
#include "kernels/error.hpp"
#include "tests/support/toy_model.hpp"

namespace esmm::test {
namespace {

/// The losses of `steps` steps on one batch whose labels its dense columns decide.
std::vector<double> losses(const Config& config, Precision precision, int steps) {
  const std::unique_ptr<Backend> backend = make_cpu_backend(2, precision);
  Parameters parameters(backend->memory(), toy_spec(config));
  ThreadPool pool(1);
  parameters.initialise(config, pool);
  Trainer trainer(*backend, config, parameters, steps);
  HostBatch batch = toy_batch(parameters.spec(), 400, 1);
  for (std::size_t b = 0; b < batch.click.size(); ++b) {
    batch.click[b] = batch.dense[2 * b] > 0 ? 1 : 0;
    batch.conversion[b] = batch.click[b] == 1 && batch.dense[2 * b + 1] > 0 ? 1 : 0;
  }
  std::vector<double> result;
  for (int step = 0; step < steps; ++step) {
    trainer.step(batch.view());
    result.push_back(trainer.take_losses().back().total({}));
  }
  return result;
}

// L = 2 hidden layers. Forward rounds 2L + 1 times to 8 bits on the way to a logit: logits of order one, and with them
// the loss, are known to e = 5·2^-8 = 2 %. On the way back there are 2L + 1 roundings more, so that a gradient g has an
// error of 10·2^-8 |g| = 4 %. A step of gradient descent lowers the loss by lr·|g|²; the error changes that by 4 % of
// it at most, and all steps together by 4 % of the whole fall. (Both to first order.)
TEST(Bf16Training, TheLossCurveStaysWithinTheRoundingErrorOfTheFp32Curve) {
  for (const Activation activation : {Activation::relu, Activation::prelu}) {
    Config config = toy_config(activation);
    config.hidden = {16, 8};
    config.optimizer = OptimizerKind::sgd;
    config.lr = 0.3F;
    const std::vector<double> fp32 = losses(config, Precision::fp32, 100), bf16 = losses(config, Precision::bf16, 100);
    EXPECT_LT(fp32.back(), 0.8 * fp32.front()) << "nothing was learned";
    EXPECT_NE(fp32.back(), bf16.back()) << "bf16 computed in fp32";
    for (std::size_t step = 0; step < fp32.size(); ++step) {
      const double fall = fp32.front() - fp32[step];
      ASSERT_NEAR(bf16[step], fp32[step], 0.02 * fp32.front() + 0.04 * std::fabs(fall)) << "step " << step;
    }
  }
}

TEST(Bf16Training, OnTheCpuIsRefusedExactlyWhereTheProcessorDoesNotMultiplyBf16) {
  EXPECT_NO_THROW(check_device("cpu", Precision::fp32));
  if (cpu_multiplies_bf16()) {
    EXPECT_NO_THROW(check_device("cpu", Precision::bf16));
    return;
  }
  try {
    check_device("cpu", Precision::bf16);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("fp32 is faster"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace esmm::test
