#include "kernels/optimizer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/embedding.hpp"
#include "kernels/error.hpp"
#include "kernels/optimizer_math.hpp"
#include "tests/reference/optimizer.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/on_backend.hpp"
#include "tests/support/optimizers.hpp"

namespace esmm::test {
namespace {

using nlohmann::json;

/// Bounds what float arithmetic may do to a weight: every step rounds the weight once, and its movement in at most
/// eight operations, whose errors the state carries into the later steps.
class Movement {
 public:
  explicit Movement(double weight) : last_(weight), greatest_(std::abs(weight)) {}
  void to(double weight) {
    path_ += std::abs(weight - last_);
    greatest_ = std::max(greatest_, std::abs(weight));
    last_ = weight;
    ++steps_;
  }
  [[nodiscard]] double float_error() const { return std::ldexp(1.0, -24) * steps_ * (greatest_ + 8.0 * path_); }

 private:
  double last_;
  double greatest_;
  double path_ = 0.0;
  double steps_ = 0.0;
};

/// The formulas of optimizer_math.hpp, in double, on one row.
void step_in_double(const OptimizerStep& optimizer, UpdateScope scope, const std::vector<double>& gradient,
                    std::vector<double>& weights, std::vector<double>& state) {
  const auto c = step_constants<double>(optimizer, scope);  // a gradient scale of 1
  const std::size_t dim = weights.size();
  double rate = 0.0;
  if (optimizer.config.kind == OptimizerKind::rowwise_adagrad) {
    const auto width = static_cast<std::int64_t>(dim);
    rate = rowwise_adagrad_rate(c, squared_gradient_sum(c, gradient.data(), weights.data(), width), width, state[0]);
  }
  for (std::size_t d = 0; d < dim; ++d) {
    const double g = effective_gradient(c, gradient[d], weights[d]);
    switch (optimizer.config.kind) {
      case OptimizerKind::sgd:
        sgd_update(c, g, weights[d]);
        break;
      case OptimizerKind::adagrad:
        adagrad_update(c, g, weights[d], state[d]);
        break;
      case OptimizerKind::rowwise_adagrad:
        weights[d] -= rate * g;
        break;
      case OptimizerKind::adam:
        adam_update(c, g, weights[d], state[d], state[dim + d]);
        break;
      case OptimizerKind::ftrl:
        ftrl_update(c, g, weights[d], state[d], state[dim + d]);
        break;
    }
  }
}

/// A case of golden/optimizers.json; a dense case is a table of one row.
struct Golden {
  struct Step {
    std::vector<std::uint32_t> rows;
    std::vector<std::vector<double>> gradient;
    std::vector<std::vector<double>> weights;  // afterwards; empty where not recorded
  };
  std::string name;
  bool dense = false;
  OptimizerStep optimizer;
  std::vector<std::vector<double>> initial;
  std::vector<Step> steps;
};

std::vector<std::vector<double>> table_of(const json& values, bool dense) {
  if (dense) return {values.get<std::vector<double>>()};
  return values.get<std::vector<std::vector<double>>>();
}

std::vector<Golden> read_golden() {
  std::ifstream in(std::string(ESMM_SOURCE_DIR) + "/tests/kernels/golden/optimizers.json");
  const json all = json::parse(in);
  std::vector<Golden> cases;
  for (const json& from : all.at("cases")) {
    Golden golden;
    golden.name = from.at("name");
    golden.dense = golden.name.starts_with("dense_");
    OptimizerStep& optimizer = golden.optimizer;
    for (const OptimizerKind kind : kAllOptimizers) {
      if (name_of(kind) == from.at("kind")) optimizer.config.kind = kind;
    }
    optimizer.learning_rate = from.at("learning_rate");
    optimizer.l2 = from.value("l2", optimizer.l2);
    optimizer.config.epsilon = from.value("epsilon", optimizer.config.epsilon);
    optimizer.config.initial_accumulator = from.value("initial_accumulator", optimizer.config.initial_accumulator);
    optimizer.config.ftrl_beta = from.value("ftrl_beta", optimizer.config.ftrl_beta);
    optimizer.config.ftrl_l1 = from.value("ftrl_l1", optimizer.config.ftrl_l1);
    optimizer.config.ftrl_l2 = from.value("ftrl_l2", optimizer.config.ftrl_l2);
    golden.initial = table_of(from.at("initial"), golden.dense);
    for (const json& step : from.at("steps")) {
      golden.steps.push_back(
          {step.value("rows", std::vector<std::uint32_t>{0}), table_of(step.at("gradient"), golden.dense),
           step.contains("weights") ? table_of(step.at("weights"), golden.dense) : std::vector<std::vector<double>>{}});
    }
    cases.push_back(std::move(golden));
  }
  return cases;
}

std::vector<float> flat(const std::vector<std::vector<double>>& table) {
  std::vector<float> values;
  for (const auto& row : table) {
    for (const double value : row) values.push_back(static_cast<float>(value));
  }
  return values;
}

class Optimizer : public testing::TestWithParam<BackendCase> {
 protected:
  /// Weights and state of a table, on the backend.
  struct Table {
    Table(Backend& backend, const OptimizerConfig& config, std::int64_t rows, std::int64_t dim,
          const std::vector<float>& values, std::int64_t stride)
        : weights(backend, rows, dim, stride, values),
          state(backend, rows, state_width(config.kind, dim), state_width(config.kind, dim)) {
      initialise_state(backend, config, state.view(), dim);
    }
    [[nodiscard]] EmbeddingArena arena() const { return {weights.view(), state.view()}; }
    BackendMatrix weights;
    BackendMatrix state;
  };

  void step(const OptimizerStep& optimizer, bool dense, const Table& table, const std::vector<std::uint32_t>& rows,
            const std::vector<float>& gradient) {
    const std::int64_t dim = table.weights.cols;
    const Buffer<float> values = upload(*backend, gradient);
    if (dense) {
      return update_dense(*backend, table.weights.buffer.span(), values.span(), table.state.buffer.span(), optimizer);
    }
    // A batch in which each of these rows occurs once: its gradient is that of its only bag.
    OwnedBags bags(1);
    for (const std::uint32_t row : rows) bags.add_bag({row});
    const BackendBags on_backend(*backend, bags);
    const std::unique_ptr<SortedIds> sorted = backend->make_sorted_ids();
    sort_ids(*backend, on_backend.view(), {}, *sorted);
    embedding_gradient(*backend, *sorted, on_backend.view(), {}, {values.data(), on_backend.view().count(), dim}, {},
                       dim);
    update_rows(*backend, *sorted, optimizer, table.arena());
  }

  std::unique_ptr<Backend> backend = GetParam().make();
  std::mt19937 random{20180417};
};

TEST_P(Optimizer, FollowsTheGoldenTrajectories) {
  for (const Golden& golden : read_golden()) {
    SCOPED_TRACE(golden.name);
    OptimizerStep optimizer = golden.optimizer;
    const UpdateScope scope = golden.dense ? UpdateScope::dense : UpdateScope::touched_rows;
    const std::size_t dim = golden.initial[0].size();
    const auto rows = static_cast<std::int64_t>(golden.initial.size());
    const auto width = static_cast<std::int64_t>(dim);
    const Table table(*backend, optimizer.config, rows, width, flat(golden.initial), width);
    auto exact = golden.initial;
    std::vector<std::vector<double>> exact_state;
    for (const float value : download(table.state.buffer)) {
      if (exact_state.empty() || static_cast<std::int64_t>(exact_state.back().size()) == table.state.cols) {
        exact_state.emplace_back();
      }
      exact_state.back().push_back(value);
    }
    exact_state.resize(golden.initial.size());
    std::vector<std::vector<Movement>> movements;
    for (const auto& row : exact) movements.emplace_back(row.begin(), row.end());

    for (const Golden::Step& now : golden.steps) {
      for (std::size_t i = 0; i < now.rows.size(); ++i) {
        const std::size_t row = now.rows[i];
        step_in_double(optimizer, scope, now.gradient[i], exact[row], exact_state[row]);
        for (std::size_t d = 0; d < dim; ++d) movements[row][d].to(exact[row][d]);
      }
      step(optimizer, golden.dense, table, now.rows, flat(now.gradient));
      ++optimizer.step;
      if (now.weights.empty()) continue;
      const std::vector<float> actual = download(table.weights.buffer);
      for (std::size_t row = 0; row < exact.size(); ++row) {
        for (std::size_t d = 0; d < dim; ++d) {
          const double expected = now.weights[row][d];
          ASSERT_NEAR(exact[row][d], expected, 1e-12) << "in double: 20 steps on weights of order 1, each within 1e-14";
          ASSERT_NEAR(actual[row * dim + d], expected, movements[row][d].float_error())
              << "step " << optimizer.step - 1 << ", row " << row << ", d " << d;
        }
      }
    }
  }
}

constexpr float kScale = 0.7F;  // of the gradient

TEST_P(Optimizer, MovesTouchedRowsAsThePapersSayAndNoOthers) {
  const Buffer<float> scale = upload(*backend, std::vector{kScale});
  constexpr std::int64_t kRows = 40;
  for (const OptimizerKind kind : kAllOptimizers) {
    for (const std::int64_t dim : {1, 3, 8, 12, 18, 31, 33, 64}) {
      SCOPED_TRACE(name_of(kind) + ", dim " + std::to_string(dim));
      OptimizerStep optimizer = demanding_optimizer(kind);
      optimizer.gradient_scale = scale.data();
      const std::int64_t stride = dim + 3;
      const std::vector<float> initial = random_floats(kRows * stride, random);
      const Table table(*backend, optimizer.config, kRows, dim, initial, stride);
      std::vector<reference::Row> expected;
      std::vector<std::vector<Movement>> movements;
      for (std::int64_t row = 0; row < kRows; ++row) {
        const auto first = initial.begin() + row * stride;
        expected.emplace_back(optimizer.config, std::vector<double>(first, first + dim));
        movements.emplace_back(first, first + dim);
      }
      for (; optimizer.step <= 6; ++optimizer.step) {
        std::vector<std::uint32_t> rows;
        for (std::uint32_t row = 0; row < kRows - 5; ++row) {
          if (random() % 3 != 0) rows.push_back(row);
        }
        const std::vector<float> gradient = random_floats(static_cast<std::int64_t>(rows.size()) * dim, random);
        step(optimizer, false, table, rows, gradient);
        for (std::size_t i = 0; i < rows.size(); ++i) {
          const auto first = gradient.begin() + static_cast<std::int64_t>(i) * dim;
          expected[rows[i]].step(optimizer, true, {first, first + dim}, kScale);
          for (std::int64_t d = 0; d < dim; ++d) movements[rows[i]][d].to(expected[rows[i]].weights()[d]);
        }
      }
      const std::vector<float> actual = download(table.weights.buffer);
      for (std::int64_t row = 0; row < kRows; ++row) {
        for (std::int64_t column = 0; column < stride; ++column) {
          const std::int64_t i = row * stride + column;
          if (row >= kRows - 5 || column >= dim) {
            ASSERT_EQ(actual[i], initial[i]) << "never touched: row " << row << ", column " << column;
          } else {
            ASSERT_NEAR(actual[i], expected[row].weights()[column], movements[row][column].float_error());
          }
        }
      }
    }
  }
}

TEST_P(Optimizer, MovesDenseParametersAsThePapersSay) {
  const Buffer<float> scale = upload(*backend, std::vector{kScale});
  for (const OptimizerKind kind : kAllOptimizers) {
    if (kind == OptimizerKind::rowwise_adagrad) continue;
    for (const std::int64_t size : {0, 1, 15, 4095, 4097, 10001}) {
      SCOPED_TRACE(name_of(kind) + ", " + std::to_string(size) + " parameters");
      OptimizerStep optimizer = demanding_optimizer(kind);
      optimizer.gradient_scale = scale.data();
      const std::vector<float> initial = random_floats(size, random);
      const Table table(*backend, optimizer.config, 1, size, initial, size);
      reference::Row expected(optimizer.config, {initial.begin(), initial.end()});
      std::vector<Movement> movements(initial.begin(), initial.end());
      for (; optimizer.step <= 4; ++optimizer.step) {
        const std::vector<float> gradient = random_floats(size, random);
        step(optimizer, true, table, {}, gradient);
        expected.step(optimizer, false, {gradient.begin(), gradient.end()}, kScale);
        for (std::size_t i = 0; i < movements.size(); ++i) movements[i].to(expected.weights()[i]);
      }
      const std::vector<float> actual = download(table.weights.buffer);
      for (std::size_t i = 0; i < actual.size(); ++i) {
        ASSERT_NEAR(actual[i], expected.weights()[i], movements[i].float_error());
      }
    }
  }
}

TEST_P(Optimizer, GradientScaleMultipliesTheGradientBeforeAnythingElse) {
  for (const OptimizerKind kind : kAllOptimizers) {
    SCOPED_TRACE(name_of(kind));
    OptimizerStep optimizer = demanding_optimizer(kind);
    const std::vector<float> initial = random_floats(18, random);
    const std::vector<float> gradient = random_floats(18, random);
    const Buffer<float> scale = upload(*backend, std::vector{0.125F});
    for (const bool dense : {false, true}) {
      if (dense && kind == OptimizerKind::rowwise_adagrad) continue;
      const auto result = [&](const float* gradient_scale, float factor) {
        optimizer.gradient_scale = gradient_scale;
        std::vector<float> multiplied = gradient;
        for (float& g : multiplied) g *= factor;  // exact
        const Table table(*backend, optimizer.config, 1, 18, initial, 18);
        step(optimizer, dense, table, {0}, multiplied);
        return download(table.weights.buffer);
      };
      EXPECT_EQ(result(scale.data(), 1.0F), result(nullptr, 0.125F));
      EXPECT_NE(result(scale.data(), 1.0F), result(nullptr, 1.0F));
    }
  }
}

TEST_P(Optimizer, InitialStateIsZeroButForTheAccumulators) {
  OptimizerConfig config{.initial_accumulator = 0.25F};
  const auto state = [&](OptimizerKind kind) {
    config.kind = kind;
    const std::int64_t width = state_width(kind, 2);
    const BackendMatrix matrix(*backend, 2, width, width,
                               std::vector<float>(static_cast<std::size_t>(2 * width), 9.0F));
    initialise_state(*backend, config, matrix.view(), 2);
    return download(matrix.buffer);
  };
  using Floats = std::vector<float>;
  EXPECT_EQ(state(OptimizerKind::sgd), Floats{});
  EXPECT_EQ(state(OptimizerKind::adagrad), (Floats{0.25F, 0.25F, 0.25F, 0.25F}));
  EXPECT_EQ(state(OptimizerKind::rowwise_adagrad), (Floats{0.25F, 0.25F}));
  EXPECT_EQ(state(OptimizerKind::adam), Floats(8, 0.0F));
  EXPECT_EQ(state(OptimizerKind::ftrl), (Floats{0.0F, 0.0F, 0.25F, 0.25F, 0.0F, 0.0F, 0.25F, 0.25F}));
}

TEST_P(Optimizer, SquaredNormIsExactToDoubleRoundingWhateverTheShape) {
  for (const auto& [rows, cols] : {std::pair{0, 5}, {1, 1}, {7, 18}, {3000, 12}, {1, 100003}, {4, 4097}, {900, 0}}) {
    const std::int64_t stride = cols + 2;
    const std::vector<float> values = random_floats(rows * stride, random);
    const BackendMatrix matrix(*backend, rows, cols, stride, values);
    long double expected = 0.0L;
    for (std::int64_t i = 0; i < rows * stride; ++i) {
      if (i % stride < cols) expected += static_cast<long double>(values[i]) * static_cast<long double>(values[i]);
    }
    // Squares of floats are exact in double, so only the additions round: all terms are positive.
    const double bound = static_cast<double>(expected) * static_cast<double>(rows * cols) * std::ldexp(1.0, -53);
    EXPECT_NEAR(squared_norm(*backend, matrix.view()), static_cast<double>(expected), bound) << rows << " x " << cols;
  }
}

TEST_P(Optimizer, RefusesWhatItCannotDo) {
  const BackendMatrix weights(*backend, 1, 4, 4);
  const BackendMatrix state(*backend, 1, 8, 8);
  const auto update = [&](const OptimizerStep& optimizer, std::size_t state_size) {
    update_dense(*backend, weights.buffer.span(), weights.buffer.span(), state.buffer.span().first(state_size),
                 optimizer);
  };
  EXPECT_THROW(update({.config = {.kind = OptimizerKind::rowwise_adagrad}}, 1), Error);
  EXPECT_THROW(update({.config = {.kind = OptimizerKind::adam}}, 4), Error);
  EXPECT_THROW(update({.config = {.kind = OptimizerKind::sgd}, .step = 0}, 0), Error);
  EXPECT_THROW(update({.config = {.kind = OptimizerKind::ftrl}, .learning_rate = 0.0F}, 8), Error);
  EXPECT_THROW(initialise_state(*backend, {.kind = OptimizerKind::adagrad}, state.view(), 4), Error);
}

INSTANTIATE_TEST_SUITE_P(Backends, Optimizer, testing::ValuesIn(backends()), BackendName{});

}  // namespace
}  // namespace esmm::test
