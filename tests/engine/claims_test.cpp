// What ESMM is for, in worlds whose truth is known (docs/quality.md says where it holds, and where not).
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "engine/evaluator.hpp"
#include "engine/run_model.hpp"
#include "engine/training_run.hpp"
#include "engine/truth.hpp"
#include "kernels/metrics.hpp"
#include "tests/support/small_log.hpp"

namespace esmm {
namespace {

constexpr int kWorlds = 5;
constexpr double kStudent = 3.747;  // 99 % quantile of Student's t with kWorlds − 1 degrees of freedom

/// Lower end of the one-sided 99 % confidence interval of the mean.
double lower_bound(const std::vector<double>& differences) {
  const auto n = static_cast<double>(differences.size());
  double mean = 0, squares = 0;
  for (const double d : differences) mean += d / n;
  for (const double d : differences) squares += (d - mean) * (d - mean);
  return mean - kStudent * std::sqrt(squares / (n - 1) / n);
}

/// Clicks are rare, and what makes an impression clicked also makes it convert.
SynthOptions world(std::uint64_t seed) {
  SynthOptions options;
  options.rows = 30'000;
  options.seed = seed;
  options.selection_bias = 0.9;
  options.click_rate = 0.03;
  return options;
}

/// Trains, and ranks all test impressions by pCVR: the AUC against conversion_if_clicked.
double entire_space_cvr_auc(const std::string& model, const test::TemporaryDirectory& directory,
                            const test::SmallLog& log, std::uint64_t seed) {
  Config config = resolve_config("", {{"model", model}});
  config.batch_size = 250;
  config.lr = 0.003F;
  config.seed = seed;
  RunDirectory run_directory = RunDirectory::create(directory / model);
  const auto vocabulary = log.train->vocabulary();
  const ModelSpec spec = make_model_spec(config, log.train->schema(), *vocabulary, {});
  run_directory.write_setup(config, spec.schema, *vocabulary);
  const auto backend = make_cpu_backend(2);
  TrainingRun(*backend, config, spec, run_directory, log.train, nullptr, {}).run();

  const Truth truth = load_truth(directory / "log/truth_test.csv");
  std::vector<float> pcvr;
  std::vector<std::uint8_t> converts;
  ScoringOptions with_ids;
  with_ids.with_sample_ids = true;
  score(*backend, load_run(*backend, directory / model).model(), log.test, with_ids,
        [&](const HostBatch& batch, MatrixView<const float> logits) {
          for (std::int64_t r = 0; r < logits.rows; ++r) {
            pcvr.push_back(predict(ReadOut::factor, logits(r, 0), logits(r, 1)).pcvr);
            converts.push_back(
                truth.at(std::string(batch.sample_id[static_cast<std::size_t>(r)])).conversion_if_clicked ? 1 : 0);
          }
        });
  return auc(*backend, pcvr, converts).value();
}

// Both methods learn from the same impressions with the same options; only BASE's CVR net sees clicked ones alone. The
// worlds are independent draws of everything, labels and effects, so the differences are too.
TEST(Claims, EsmmRanksAllImpressionsBetterThanBaseWhereClicksAreRareAndTellOfConversions) {
#if defined(ESMM_SANITIZED)
  GTEST_SKIP() << "nothing here is not run elsewhere";
#endif
  std::vector<double> differences;
  for (std::uint64_t seed = 1; seed <= kWorlds; ++seed) {
    const test::TemporaryDirectory directory;
    const test::SmallLog log = test::make_small_log(directory, world(seed));
    differences.push_back(entire_space_cvr_auc("esmm", directory, log, seed) -
                          entire_space_cvr_auc("base", directory, log, seed));
    RecordProperty("world" + std::to_string(seed), std::to_string(differences.back()));
  }
  EXPECT_GT(lower_bound(differences), 0.0) << testing::PrintToString(differences);
}

}  // namespace
}  // namespace esmm
