#include "kernels/towers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/backends.hpp"
#include "tests/support/on_backend.hpp"
#include "tests/support/tower_net.hpp"

namespace esmm::test {
namespace {

using Groups = std::vector<std::uint32_t>;

class Towers : public testing::TestWithParam<BackendCase> {
 protected:
  std::unique_ptr<Backend> backend_ = GetParam().make();
};
INSTANTIATE_TEST_SUITE_P(Backends, Towers, testing::ValuesIn(backends()), BackendName{});

void expect_reference(Backend& backend, const char* what, const TowerShape& shape, const Groups& groups) {
  SCOPED_TRACE(what);
  const TowerNet net(shape, groups, 101);
  const bool dropout = shape.dropout > 0.0F;
  const auto results = run(backend, net, {dropout, 17, 3});
  const auto expected = reference_run(net, results, dropout);
  const auto magnitude = magnitude_run(net, results, dropout);
  const double forward = forward_bound(shape, results.bf16), backward = backward_bound(net, results.bf16);
  for (std::size_t t = 0; t < kTowers; ++t) {
    for (std::size_t l = 0; l < shape.hidden.size(); ++l) {
      expect_close(results.a[t][l], expected.a[t][l], magnitude.a[t][l], forward, "activation");
    }
  }
  expect_close(results.logits, expected.logits, magnitude.logits, forward, "logit");
  expect_close(results.gradients, expected.gradients, magnitude.gradients, backward, "parameter gradient");
  expect_close(results.dcommon, expected.dcommon, magnitude.dcommon, backward, "dcommon");
  expect_close(results.dsample, expected.dsample, magnitude.dsample, backward, "dsample");
}

TEST_P(Towers, ForwardAndBackwardMatchTheDoubleReferenceOverAwkwardShapes) {
  constexpr auto relu = Activation::relu, prelu = Activation::prelu;
  const auto check = [&](const char* what, const TowerShape& shape, const Groups& groups) {
    expect_reference(*backend_, what, shape, groups);
  };
  check("no impressions", {3, 4, {5}, relu, 0.0F}, {});
  check("no impressions, one empty group", {3, 4, {5, 2}, prelu, 0.0F}, {0});
  check("one impression, widths of one", {1, 1, {1, 1}, prelu, 0.0F}, {1});
  check("one hidden layer", {5, 9, {7}, relu, 0.0F}, {10, 0, 21});
  check("one wide hidden layer", {5, 9, {140}, prelu, 0.0F}, {40, 31});
  check("odd widths, an empty group", {13, 21, {33, 7, 1}, prelu, 0.0F}, {30, 0, 3});
  check("a full tile, dropout", {4, 6, {7, 33}, prelu, 0.3F}, {64});
  check("a tile and one row, ReLU, dropout", {19, 17, {33, 7}, relu, 0.5F}, {1, 2, 0, 60, 0, 2});
  check("no common inputs", {0, 30, {17, 9}, prelu, 0.0F}, {200});
  check("no common inputs, dropout", {0, 5, {80, 3}, relu, 0.2F}, {65});
  check("no sample inputs", {6, 0, {9}, prelu, 0.0F}, {3, 4});
  check("as many users as impressions", {24, 8, {16, 5}, relu, 0.0F}, Groups(200, 1));
  check("four layers", {8, 8, {9, 8, 7, 6}, prelu, 0.1F}, {16, 15});
  check("the widths of the paper, ReLU", {117, 90, {200, 80}, relu, 0.0F}, {40, 31});
  check("the widths of the paper, PReLU", {117, 90, {200, 80}, prelu, 0.0F}, {3, 0, 62});
  check("more rows than one product of a weight gradient takes", {2, 3, {4}, prelu, 0.0F}, {400, 300, 69});
  check("groups that begin and end with tiles", {3, 2, {8, 5}, prelu, 0.2F}, {64, 0, 64, 63, 1, 0, 129, 199, 56, 0});
}

// ---- finite differences, loss included ----

/// ESMM's loss of a net's logits; its labels alternate.
class LossOfNet {
 public:
  LossOfNet(Backend& backend, const TowerNet& net)
      : backend_(backend),
        rows_(net.impressions),
        workspace_(backend.memory()),
        run_(backend, net, workspace_),
        click_(upload(backend, labels(false))),
        conversion_(upload(backend, labels(true))),
        losses_(backend.memory(), 1),
        logits_(backend, rows_, 2, 2),
        gradient_(backend, rows_, 2, 2) {}
  double operator()(const TowerNet& net) {
    run_.load(net);
    run_.forward({});
    logits_.buffer.copy_from_host(run_.logits());
    two_task_loss(backend_, {}, logits_.view(), click_.span(), conversion_.span(), rows_, losses_.data(),
                  gradient_.view());
    return download(losses_)[0].total({});
  }
  [[nodiscard]] std::vector<float> dlogits() const { return download(gradient_.buffer); }

 private:
  [[nodiscard]] std::vector<std::uint8_t> labels(bool conversion) const {
    std::vector<std::uint8_t> result;
    for (std::int64_t r = 0; r < rows_; ++r) result.push_back(conversion ? r % 3 == 1 : r % 3 != 0);
    return result;
  }

  Backend& backend_;
  std::int64_t rows_;
  TowerWorkspace workspace_;
  TowerRun run_;
  Buffer<std::uint8_t> click_, conversion_;
  Buffer<TaskLosses> losses_;
  BackendMatrix logits_, gradient_;
};

/// The nearest that any unit's input comes to zero, where finite differences would see the kink.
double distance_to_kink(TowerRun& run, const TowerNet& net) {
  run.load(net);
  run.forward({});
  double nearest = INFINITY;
  for (const auto& tower : reference_run(net, run.results(), false).z) {
    for (std::size_t l = 0; l < net.shape.hidden.size(); ++l) {
      for (const double z : tower[l]) nearest = std::min(nearest, std::fabs(z));
    }
  }
  return nearest;
}

TowerNet net_away_from_kinks(Backend& backend, const TowerShape& shape, double distance) {
  const Groups groups{2, 0, 2};
  TowerNet net(shape, groups, 0);
  TowerWorkspace workspace(backend.memory());
  TowerRun run(backend, net, workspace);
  for (unsigned seed = 1; seed < 1000 && distance_to_kink(run, net) < distance; ++seed) {
    net = TowerNet(shape, groups, seed);
  }
  EXPECT_GE(distance_to_kink(run, net), distance);
  return net;
}

// Step 1/64 in every direction, doubled for Richardson's extrapolation, so that truncation is below h⁴ ~ 6e-8 times a
// derivative of order one. Rounding: the loss is known to 2e-6 (about 30 roundings, doubled), divided by 2h and times
// 5/3 by the extrapolation: 1e-4.
constexpr float kStep = 0x1p-6F;
constexpr double kDifferenceTolerance = 1e-4;

void expect_differences(LossOfNet& loss, TowerNet& net, std::vector<float>& values, const std::vector<float>& gradient,
                        const char* what) {
  ASSERT_EQ(values.size(), gradient.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float value = values[i];
    const auto difference = [&](float h) {
      values[i] = value + h;
      const double up = loss(net);
      values[i] = value - h;
      const double down = loss(net);
      values[i] = value;
      return (up - down) / (2.0 * static_cast<double>(h));
    };
    const double derivative = (4.0 * difference(kStep) - difference(2.0F * kStep)) / 3.0;
    EXPECT_NEAR(static_cast<double>(gradient[i]), derivative, kDifferenceTolerance) << what << ' ' << i;
  }
}

TEST_P(Towers, GradientsOfEveryParameterAndInputMatchFiniteDifferencesOfTheLoss) {
  for (const Activation activation : {Activation::relu, Activation::prelu}) {
    for (const std::int64_t common : {0, 2}) {
      // A unit's input moves by at most 2h times a few weights of 0.6: no kink within 0.1 means none is crossed.
      // A unit's input moves by at most 2h times a few weights of 0.6: no kink within 0.1 means none is crossed.
      TowerNet net = net_away_from_kinks(*backend_, {common, 3, {3, 2}, activation, 0.0F}, 0.1);
      LossOfNet loss(*backend_, net);
      (void)loss(net);
      net.dlogits = loss.dlogits();
      const auto results = run(*backend_, net);
      if (results.bf16) GTEST_SKIP() << "a loss that is known to two digits has no differences";
      expect_differences(loss, net, net.parameters, results.gradients, "parameter");
      expect_differences(loss, net, net.common, results.dcommon, "common input");
      expect_differences(loss, net, net.sample, results.dsample, "sample input");
    }
  }
}

TEST_P(Towers, TheReferencesGradientsMatchItsOwnFiniteDifferencesWithDropout) {
  for (const Activation activation : {Activation::relu, Activation::prelu}) {
    TowerNet net = net_away_from_kinks(*backend_, {2, 3, {5, 4}, activation, 0.3F}, 0.02);
    const auto observed = run(*backend_, net, {true, 1, 1});  // fixes the dropout masks
    const auto gradients = reference_run(net, observed, true);
    const auto expect = [&](std::vector<float>& values, const std::vector<double>& gradient, const char* what) {
      ASSERT_EQ(values.size(), gradient.size());
      for (std::size_t i = 0; i < values.size(); ++i) {
        const float value = values[i];
        const auto weighted_logits = [&](float moved) {
          values[i] = moved;
          const auto logits = reference_run(net, observed, true).logits;
          double sum = 0.0;
          for (std::size_t k = 0; k < logits.size(); ++k) sum += static_cast<double>(net.dlogits[k]) * logits[k];
          return sum;
        };
        const float up = value + 0x1p-10F, down = value - 0x1p-10F;
        const double difference = weighted_logits(up) - weighted_logits(down);
        values[i] = value;
        // Logits are linear in any one parameter or input while no kink is crossed: only rounding, ~1e-15 / h, is left.
        EXPECT_NEAR(gradient[i], difference / (static_cast<double>(up) - static_cast<double>(down)), 1e-11)
            << what << i;
      }
    };
    expect(net.parameters, gradients.gradients, "parameter ");
    expect(net.common, gradients.dcommon, "common input ");
    expect(net.sample, gradients.dsample, "sample input ");
  }
}

// ---- the factored first layer ----

TEST_P(Towers, TheFactoredFirstLayerEqualsJoiningTheCommonRowIntoEveryImpression) {
  const Groups groups{5, 0, 30, 1};
  const TowerNet factored({6, 9, {11, 4}, Activation::prelu, 0.0F}, groups, 5);
  TowerNet joined({0, 15, {11, 4}, Activation::prelu, 0.0F}, groups, 5);
  joined.parameters = factored.parameters;  // the common half lies before the sample half, as in joined rows
  joined.dlogits = factored.dlogits;
  joined.sample.clear();
  std::vector<std::size_t> user;
  for (std::size_t u = 0; u < groups.size(); ++u) user.insert(user.end(), groups[u], u);
  for (std::size_t r = 0; r < user.size(); ++r) {
    joined.sample.insert(joined.sample.end(), factored.common.data() + 6 * user[r],
                         factored.common.data() + 6 * (user[r] + 1));
    joined.sample.insert(joined.sample.end(), factored.sample.data() + 9 * r, factored.sample.data() + 9 * (r + 1));
  }
  const auto one = run(*backend_, factored), other = run(*backend_, joined);
  const auto magnitude = magnitude_run(factored, one, false);
  const auto doubled = [](const std::vector<float>& values) {
    return std::vector<double>(values.begin(), values.end());
  };
  // Both are within the bound of the exact result, hence within twice the bound of each other.
  expect_close(one.logits, doubled(other.logits), magnitude.logits, 2 * forward_bound(factored.shape, one.bf16),
               "logit");
  expect_close(one.gradients, doubled(other.gradients), magnitude.gradients, 2 * backward_bound(factored, one.bf16),
               "gradient");
  std::vector<double> dcommon(factored.common.size(), 0.0);
  for (std::size_t r = 0; r < user.size(); ++r) {
    for (std::size_t k = 0; k < 6; ++k) dcommon[6 * user[r] + k] += static_cast<double>(other.dsample[15 * r + k]);
  }
  expect_close(one.dcommon, dcommon, magnitude.dcommon, 2 * backward_bound(factored, one.bf16), "dcommon");
}

// ---- dropout ----

TowerNet dropout_net(float rate) {
  return {{0, 6, {101, 50}, Activation::prelu, rate}, {150}, 9};
}

std::vector<bool> dropped_units(const TowerResults<float>& results) {
  std::vector<bool> dropped;
  for (const auto& tower : results.a) {
    for (const auto& layer : tower) {
      for (const float a : layer) dropped.push_back(a == 0.0F);
    }
  }
  return dropped;
}

TEST_P(Towers, DropoutDropsAtItsRateAndScalesTheUnitsThatStay) {
  for (const float rate : {0.1F, 0.5F, 0.9F}) {
    const TowerNet net = dropout_net(rate);
    const auto results = run(*backend_, net, {true, 1, 1});
    const auto dropped = dropped_units(results);
    const double n = static_cast<double>(dropped.size());
    const double share = static_cast<double>(std::count(dropped.begin(), dropped.end(), true)) / n;
    const double p = static_cast<double>(rate);
    EXPECT_NEAR(share, p, 5.0 * std::sqrt(p * (1.0 - p) / n));  // five standard errors
    const auto plain = run(*backend_, net);
    for (std::size_t i = 0; i < results.a[1][0].size(); ++i) {
      const float a = results.a[1][0][i];
      if (a == 0.0F) continue;
      // bfloat16: both are rounded once, to 8 bits.
      EXPECT_NEAR(a, plain.a[1][0][i] / (1.0F - rate), (results.bf16 ? 2.1 * 0x1p-8 : 4 * 0x1p-24) * std::fabs(a));
    }
  }
}

TEST_P(Towers, DropoutMasksDependOnSeedStepLayerTowerRowAndUnitOnly) {
  const TowerNet net = dropout_net(0.5F);
  const auto mask = [&](std::uint64_t seed, std::uint64_t step) {
    return dropped_units(run(*backend_, net, {true, seed, step}));
  };
  const auto agreement = [](const std::vector<bool>& one, const std::vector<bool>& other) {
    std::size_t same = 0;
    for (std::size_t i = 0; i < one.size(); ++i) same += one[i] == other[i] ? 1 : 0;
    return static_cast<double>(same) / static_cast<double>(one.size());
  };
  EXPECT_EQ(mask(1, 1), mask(1, 1));
  // Independent fair masks agree on half of n units; five standard errors.
  EXPECT_NEAR(agreement(mask(1, 1), mask(2, 1)), 0.5, 5.0 * 0.5 / std::sqrt(45'300.0));
  EXPECT_NEAR(agreement(mask(1, 1), mask(1, 2)), 0.5, 5.0 * 0.5 / std::sqrt(45'300.0));
  const auto results = run(*backend_, net, {true, 1, 1});
  const auto first_rows = [](const std::vector<float>& layer, std::int64_t width, std::int64_t row) {
    std::vector<bool> units;
    for (std::int64_t i = row * width; i < row * width + 50 * 50; ++i) {
      units.push_back(layer[static_cast<std::size_t>(i)] == 0.0F);
    }
    return units;
  };
  const double noise = 5.0 * 0.5 / std::sqrt(2500.0);
  EXPECT_NEAR(agreement(first_rows(results.a[0][1], 50, 0), first_rows(results.a[1][1], 50, 0)), 0.5, noise);
  EXPECT_NEAR(agreement(first_rows(results.a[0][1], 50, 0), first_rows(results.a[0][1], 50, 64)), 0.5, noise);
  EXPECT_NEAR(agreement(first_rows(results.a[0][0], 101, 0), first_rows(results.a[0][1], 50, 0)), 0.5, noise);
}

TEST_P(Towers, InactiveDropoutChangesNothing) {
  const TowerNet net = dropout_net(0.5F), plain = dropout_net(0.0F);
  EXPECT_EQ(run(*backend_, net, {false, 1, 1}).logits, run(*backend_, plain, {true, 1, 1}).logits);
}

}  // namespace
}  // namespace esmm::test
