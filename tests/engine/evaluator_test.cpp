#include "engine/evaluator.hpp"

#include <gtest/gtest.h>

#include "tests/support/far_backend.hpp"
#include "tests/support/small_log.hpp"

namespace esmm {
namespace {

class EvaluatorTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new test::TemporaryDirectory;
    log_ = new test::SmallLog(test::make_small_log(*directory_, 1500, 3));
  }
  static void TearDownTestSuite() {
    delete log_;
    delete directory_;
  }

  struct Outcome {
    std::vector<std::uint64_t> input_index;
    std::vector<float> logits;  // [n, 2]
    void add(const HostBatch& batch, MatrixView<const float> from) {
      EXPECT_EQ(from.rows, batch.impressions());
      input_index.insert(input_index.end(), batch.input_index.begin(), batch.input_index.end());
      for (std::int64_t r = 0; r < from.rows; ++r) logits.insert(logits.end(), from.row(r), from.row(r) + from.cols);
    }
  };

  /// An untrained model on a backend.
  struct Untrained {
    explicit Untrained(Backend& backend) : parameters(backend.memory(), spec()) {
      ThreadPool pool(1);
      Config config;
      config.embedding_stddev = 0.5F;
      parameters.initialise(config, pool);
    }
    static ModelSpec spec() {
      Config config;
      config.hidden = {16, 8};
      return make_model_spec(config, log_->train->schema(), *log_->train->vocabulary(), {});
    }
    Parameters parameters;
  };

  static inline test::TemporaryDirectory* directory_ = nullptr;
  static inline test::SmallLog* log_ = nullptr;
};

TEST_F(EvaluatorTest, ScoresAndMetricsAreTheSameWhereverTheMemoryIsAndWhateverTheBatchSize) {
  const std::unique_ptr<Backend> cpu = make_cpu_backend(2);
  Untrained expected_model(*cpu);
  Outcome expected;
  score(*cpu, Model(expected_model.parameters), log_->test, {},
        [&](const HostBatch& batch, MatrixView<const float> logits) { expected.add(batch, logits); });
  ASSERT_EQ(expected.input_index.size(), 1500U);
  const Metrics expected_metrics = evaluate(*cpu, Model(expected_model.parameters), log_->test, {});

  for (const std::int64_t batch_size : {1, 400, 1500, 4096}) {
    test::FarBackend far(1);
    Untrained model(far);
    ScoringOptions options;
    options.batch_size = batch_size;
    Outcome scored, beside;
    score(far, Model(model.parameters), log_->test, options,
          [&](const HostBatch& batch, MatrixView<const float> logits) { scored.add(batch, logits); });
    const Metrics metrics =
        evaluate(far, Model(model.parameters), log_->test, options,
                 [&](const HostBatch& batch, MatrixView<const float> logits) { beside.add(batch, logits); });
    EXPECT_EQ(scored.input_index, expected.input_index) << batch_size;
    EXPECT_EQ(scored.logits, expected.logits) << batch_size;
    EXPECT_EQ(beside.logits, expected.logits) << batch_size;
    EXPECT_EQ(metrics.values, expected_metrics.values) << batch_size;
    EXPECT_EQ(metrics.impressions, 1500);
  }
}

}  // namespace
}  // namespace esmm
