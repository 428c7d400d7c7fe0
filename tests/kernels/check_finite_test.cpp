// Steps that are not finite: `check_finite` finds them, and OptimizerStep::skip leaves everything as it was.
#include <gtest/gtest.h>

#include <bit>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/embedding.hpp"
#include "kernels/error.hpp"
#include "kernels/loss.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/on_backend.hpp"
#include "tests/support/optimizers.hpp"

namespace esmm::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

class CheckFinite : public testing::TestWithParam<BackendCase> {
 protected:
  [[nodiscard]] bool skips(const TaskLosses& losses, const std::vector<float>& gradients,
                           const SortedIds* rows = nullptr) {
    const Buffer<TaskLosses> loss = upload(*backend, std::vector{losses});
    const Buffer<float> on_backend = upload(*backend, gradients);
    const Buffer<std::int64_t> skip = upload(*backend, std::vector<std::int64_t>{-1});
    check_finite(*backend, loss.data(), on_backend.span(), rows, skip.data());
    const std::int64_t flag = download(skip)[0];
    EXPECT_TRUE(flag == 0 || flag == 1) << flag;
    return flag != 0;
  }

  /// Row i of a table occurs once, in bag i, whose gradient [dim] is `gradients` from i · dim on.
  struct Batch {
    Batch(Backend& backend, std::int64_t dim_, const std::vector<float>& gradients)
        : dim(dim_), pooled(upload(backend, gradients)), sorted(backend.make_sorted_ids()) {
      OwnedBags owned(1);
      const auto count = static_cast<std::uint32_t>(gradients.size()) / static_cast<std::uint32_t>(dim);
      for (std::uint32_t row = 0; row < count; ++row) owned.add_bag({row});
      bags = std::make_unique<BackendBags>(backend, owned);
      sort_ids(backend, bags->view(), {}, *sorted);
    }
    [[nodiscard]] MatrixView<const float> dpooled() const { return {pooled.data(), bags->view().count(), dim}; }
    void keep_gradient(Backend& backend) const {
      embedding_gradient(backend, *sorted, bags->view(), {}, dpooled(), {}, dim);
    }
    std::int64_t dim;
    Buffer<float> pooled;
    std::unique_ptr<BackendBags> bags;
    std::unique_ptr<SortedIds> sorted;
  };

  std::unique_ptr<Backend> backend = GetParam().make();
  std::mt19937 random{20180417};
};

TEST_P(CheckFinite, FindsEachLossThatIsNoNumberOrInfinite) {
  const std::vector<float> gradients{1.0F, 2.0F};
  EXPECT_FALSE(skips({1.0, 2.0, 3.0}, gradients));
  EXPECT_FALSE(skips({1e30, 1e30, 1e30}, gradients)) << "large is finite";
  for (const double bad : {static_cast<double>(kNaN), static_cast<double>(kInfinity)}) {
    EXPECT_TRUE(skips({bad, 0.0, 0.0}, gradients));
    EXPECT_TRUE(skips({0.0, bad, 0.0}, gradients));
    EXPECT_TRUE(skips({0.0, 0.0, bad}, gradients));
  }
}

TEST_P(CheckFinite, FindsAGradientWhereverItIs) {
  for (const std::size_t size : {1UL, 33UL, 16384UL, 16385UL, 40001UL}) {
    std::vector<float> gradients = random_floats(static_cast<std::int64_t>(size), random);
    EXPECT_FALSE(skips({}, gradients));
    for (const std::size_t place : {std::size_t{0}, size / 2, size - 1}) {
      for (const float bad : {kNaN, kInfinity, -kInfinity, 2e19F}) {  // the square of the last leaves float's range
        const float good = std::exchange(gradients[place], bad);
        EXPECT_TRUE(skips({}, gradients)) << bad << " at " << place << " of " << size;
        gradients[place] = good;
      }
    }
  }
  EXPECT_FALSE(skips({}, {1e19F, -1e19F})) << "the sum of the squares is 2e38";
  EXPECT_TRUE(skips({}, {1.5e19F, -1.5e19F})) << "it is 4.5e38, more than a float can be";
  EXPECT_FALSE(skips({}, {}));
}

TEST_P(CheckFinite, FindsAGradientOfARow) {
  for (const std::int64_t rows : {1, 2000}) {
    std::vector<float> gradients = random_floats(rows * 12, random);
    gradients.back() = kNaN;
    const Batch bad(*backend, 12, gradients);
    bad.keep_gradient(*backend);
    EXPECT_TRUE(skips({}, {1.0F}, bad.sorted.get()));
    EXPECT_FALSE(skips({}, {1.0F})) << "not asked for";
    gradients.back() = 1.0F;
    const Batch good(*backend, 12, gradients);
    good.keep_gradient(*backend);
    EXPECT_FALSE(skips({}, {1.0F}, good.sorted.get()));
    EXPECT_TRUE(skips({}, {kNaN}, good.sorted.get()));
  }
}

TEST_P(CheckFinite, RefusesIdsWithoutGradients) {
  const Batch batch(*backend, 4, random_floats(12, random));
  EXPECT_THROW((void)skips({}, {1.0F}, batch.sorted.get()), Error);
}

enum class Path { dense, rows, fused };

// The flag is read when the update runs, and nothing else decides: gradients of NaN move nothing with it, finite ones
// do without it.
TEST_P(CheckFinite, ASkippedUpdateLeavesEveryBitOfWeightsAndState) {
  const Buffer<std::int64_t> yes = upload(*backend, std::vector<std::int64_t>{1});
  const Buffer<std::int64_t> no = upload(*backend, std::vector<std::int64_t>{0});
  const Buffer<float> scale = upload(*backend, std::vector{0.5F});
  for (const OptimizerKind kind : kAllOptimizers) {
    for (const Path path : {Path::dense, Path::rows, Path::fused}) {
      if (path == Path::dense && kind == OptimizerKind::rowwise_adagrad) continue;
      for (const std::int64_t dim : {3, 18, 64}) {
        SCOPED_TRACE(name_of(kind) + ", path " + std::to_string(static_cast<int>(path)) + ", dim " +
                     std::to_string(dim));
        constexpr std::int64_t kRows = 70;
        const std::int64_t rows = path == Path::dense ? 1 : kRows, width = path == Path::dense ? kRows * dim : dim;
        const std::vector<float> first = random_floats(kRows * dim, random);
        const auto after = [&](const std::vector<const std::int64_t*>& flags) {
          OptimizerStep optimizer = demanding_optimizer(kind);
          optimizer.gradient_scale = scale.data();
          const BackendMatrix weights(*backend, rows, width, width, first);
          const std::int64_t state_columns = state_width(kind, width);
          const BackendMatrix state(*backend, rows, state_columns, state_columns);
          initialise_state(*backend, optimizer.config, state.view(), width);
          const EmbeddingArena arena{weights.view(), state.view()};
          std::mt19937 gradients(7);
          for (const std::int64_t* skip : flags) {
            optimizer.skip = skip;
            std::vector<float> gradient(first.size(), kNaN);
            if (skip != yes.data()) gradient = random_floats(kRows * dim, gradients);
            const Batch batch(*backend, path == Path::dense ? kRows * dim : dim, gradient);
            if (path == Path::dense) {
              update_dense(*backend, weights.buffer.span(), batch.pooled.span(), state.buffer.span(), optimizer);
            } else if (path == Path::fused) {
              update_embeddings(*backend, *batch.sorted, batch.bags->view(), {}, batch.dpooled(), {}, optimizer, arena);
            } else {
              batch.keep_gradient(*backend);
              update_rows(*backend, *batch.sorted, optimizer, arena);
            }
          }
          std::vector<std::uint32_t> bits;
          for (const BackendMatrix* matrix : {&weights, &state}) {
            for (const float value : download(matrix->buffer)) bits.push_back(std::bit_cast<std::uint32_t>(value));
          }
          return bits;
        };
        const auto untouched = after({});
        EXPECT_EQ(after({yes.data()}), untouched);
        const auto moved = after({nullptr, nullptr});
        EXPECT_NE(moved, untouched);
        EXPECT_EQ(after({no.data(), yes.data(), no.data(), yes.data()}), moved) << "a flag of 0 is as none";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, CheckFinite, testing::ValuesIn(backends()), BackendName{});

}  // namespace
}  // namespace esmm::test
