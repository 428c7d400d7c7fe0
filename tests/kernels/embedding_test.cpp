#include "kernels/embedding.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <vector>

#include "kernels/error.hpp"
#include "tests/reference/embedding.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/on_backend.hpp"
#include "tests/support/random_bags.hpp"

namespace esmm::test {
namespace {

constexpr std::int64_t kDims[] = {1, 3, 8, 12, 18, 31, 33, 64};

MatrixView<const float> host_view(const std::vector<float>& values, std::int64_t rows, std::int64_t cols,
                                  std::int64_t stride) {
  EXPECT_EQ(static_cast<std::int64_t>(values.size()), rows * stride);
  return {values.data(), rows, cols, stride};
}

class Embedding : public testing::TestWithParam<BackendCase> {
 protected:
  /// Rows and gradients of embedding_gradient, on the host.
  struct Gradient {
    std::vector<std::uint32_t> rows;
    std::vector<float> values;  // [R, dim]
  };
  Gradient gradient(const OwnedBags& sample, const OwnedBags& common, const std::vector<float>& dsample,
                    const std::vector<float>& dcommon, std::int64_t dim) {
    const BackendBags on_sample(*backend, sample);
    const BackendBags on_common(*backend, common);
    const auto matrix = [&](const OwnedBags& bags, const std::vector<float>& values) {
      const std::int64_t rows = bags.fields == 0 ? 0 : bags.view().count() / bags.fields;
      return BackendMatrix(*backend, rows, bags.fields * dim, bags.fields * dim, values);
    };
    const BackendMatrix on_dsample = matrix(sample, dsample);
    const BackendMatrix on_dcommon = matrix(common, dcommon);
    const std::unique_ptr<SortedIds> sorted = backend->make_sorted_ids();
    sort_ids(*backend, on_sample.view(), on_common.view(), *sorted);
    embedding_gradient(*backend, *sorted, on_sample.view(), on_common.view(), on_dsample.view(), on_dcommon.view(),
                       dim);
    const SparseGradient sparse = row_gradients(*backend, *sorted);
    EXPECT_EQ(sparse.values.stride, dim);
    return {download(*backend, sparse.rows),
            download<float>(*backend, {sparse.values.data, static_cast<std::size_t>(sparse.values.rows * dim)})};
  }

  std::unique_ptr<Backend> backend = GetParam().make();
  std::mt19937 random{20180417};
};

TEST_P(Embedding, PoolsEveryBagWithinRoundingOfTheDoubleSum) {
  for (const std::int64_t dim : kDims) {
    for (const bool weighted : {false, true}) {
      SCOPED_TRACE(testing::Message() << "dim " << dim << (weighted ? ", weighted" : ""));
      constexpr std::int64_t kRows = 137;
      constexpr std::int64_t kFields = 5;
      constexpr std::int64_t kTable = 300;
      const OwnedBags bags = make_random_bags(
          {.rows = kRows, .fields = kFields, .table_rows = kTable, .mean_ids = 4, .weighted = weighted}, random);
      const std::int64_t stride = dim + 3;
      const std::vector<float> table = random_floats(kTable * stride, random);
      const std::int64_t width = kFields * dim + 2;  // two more columns, for dense features, that must stay as they are
      const BackendBags on_backend(*backend, bags);
      const BackendMatrix on_table(*backend, kTable, dim, stride, table);
      const BackendMatrix out(*backend, kRows, width, width, std::vector<float>(kRows * width, -77.0F));
      pool_embeddings(*backend, on_backend.view(), on_table.view(), out.view());

      const std::vector<float> pooled = download(out.buffer);
      const auto expected = reference::pool_embeddings(bags.view(), host_view(table, kTable, dim, stride));
      for (std::int64_t r = 0; r < kRows; ++r) {
        for (std::int64_t column = 0; column < width; ++column) {
          const double actual = pooled[r * width + column];
          if (column >= kFields * dim) {
            ASSERT_EQ(actual, -77.0);
            continue;
          }
          const reference::Sum& sum = expected[r * kFields * dim + column];
          ASSERT_NEAR(actual, sum.value, sum.float_error()) << "row " << r << ", column " << column;
        }
      }
    }
  }
}

TEST_P(Embedding, PoolsBagsOfEveryLengthOnBothSidesOfTheChunksThatLongBagsAreSummedIn) {
  OwnedBags bags(1);
  const std::vector<std::size_t> lengths{1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 2047, 2048, 2049};
  for (const std::size_t length : lengths) bags.add_bag(std::vector<std::uint32_t>(length, 1));
  const auto rows = static_cast<std::int64_t>(lengths.size());
  for (const std::int64_t dim : {1, 6, 64}) {
    const BackendBags on_backend(*backend, bags);
    const BackendMatrix table(*backend, 2, dim, dim, std::vector<float>(static_cast<std::size_t>(2 * dim), 1.0F));
    const BackendMatrix out(*backend, rows, dim, dim, std::vector<float>(static_cast<std::size_t>(rows * dim), -1.0F));
    pool_embeddings(*backend, on_backend.view(), table.view(), out.view());
    const std::vector<float> pooled = download(out.buffer);
    for (std::size_t r = 0; r < lengths.size(); ++r) {  // whole numbers: exact in any order
      for (std::int64_t d = 0; d < dim; ++d) {
        EXPECT_EQ(pooled[r * static_cast<std::size_t>(dim) + static_cast<std::size_t>(d)],
                  static_cast<float>(lengths[r]));
      }
    }
  }
}

TEST_P(Embedding, PoolsEmptyBagsToZeros) {
  OwnedBags bags(2);
  for (int bag = 0; bag < 6; ++bag) bags.add_bag({});
  const BackendBags on_backend(*backend, bags);
  const BackendMatrix table(*backend, 4, 18, 20);
  const BackendMatrix out(*backend, 3, 36, 36, std::vector<float>(108, 5.0F));
  pool_embeddings(*backend, on_backend.view(), table.view(), out.view());
  EXPECT_EQ(download(out.buffer), std::vector<float>(108, 0.0F));
}

TEST_P(Embedding, PoolsABatchOfNoRows) {
  const BackendBags none(*backend, OwnedBags(3));
  const BackendMatrix table(*backend, 4, 18, 20);
  pool_embeddings(*backend, none.view(), table.view(), {nullptr, 0, 54});
}

TEST_P(Embedding, GradientOfEveryTouchedRowIsWithinRoundingOfTheDoubleSum) {
  for (const std::int64_t dim : kDims) {
    for (const bool weighted : {false, true}) {
      SCOPED_TRACE(testing::Message() << "dim " << dim << (weighted ? ", weighted" : ""));
      // Both sides read the same table, so that most rows occur on both. 12,000 ids of 400 rows: the most frequent rows
      // are hot (more than one piece), others occur once.
      const OwnedBags sample =
          make_random_bags({.rows = 700, .fields = 4, .table_rows = 400, .mean_ids = 3, .weighted = weighted}, random);
      OwnedBags common =
          make_random_bags({.rows = 20, .fields = 3, .table_rows = 400, .mean_ids = 60, .weighted = weighted}, random);
      const std::vector<float> dsample = random_floats(700 * 4 * dim, random);
      const std::vector<float> dcommon = random_floats(20 * 3 * dim, random);
      const Gradient actual = gradient(sample, common, dsample, dcommon, dim);

      reference::RowGradients expected;
      reference::add_row_gradients(sample.view(), host_view(dsample, 700, 4 * dim, 4 * dim), dim, expected);
      reference::add_row_gradients(common.view(), host_view(dcommon, 20, 3 * dim, 3 * dim), dim, expected);
      ASSERT_EQ(actual.rows.size(), expected.size());
      std::size_t r = 0;
      for (const auto& [row, sums] : expected) {
        ASSERT_EQ(actual.rows[r], row) << "rows ascend, each once";
        for (std::int64_t d = 0; d < dim; ++d) {
          ASSERT_NEAR(actual.values[r * dim + d], sums[d].value, sums[d].float_error()) << "row " << row << ", d " << d;
        }
        ++r;
      }
    }
  }
}

TEST_P(Embedding, RowsThatOccurThousandsOfTimesAreSummedExactlyOnce) {
  // Small whole numbers, so that every partial sum is exact and a lost or doubled occurrence shows. The counts lie on
  // both sides of multiples of the pieces that hot rows are summed in.
  for (const std::int64_t dim : {3, 18}) {
    OwnedBags sample(1);
    std::vector<float> dsample;
    std::map<std::uint32_t, double> expected;
    std::uint32_t row = 5;
    for (const int count : {2047, 2048, 2049, 1, 4096, 4097, 6, 9999, 2, 6145}) {
      row += 3;
      for (int i = 0; i < count; ++i) {
        sample.add_bag({row});
        const float value = static_cast<float>(i % 7 - 2);
        dsample.insert(dsample.end(), static_cast<std::size_t>(dim), value);
        expected[row] += value;
      }
    }
    const Gradient actual = gradient(sample, {}, dsample, {}, dim);
    ASSERT_EQ(actual.rows.size(), expected.size());
    std::size_t r = 0;
    for (const auto& [id, sum] : expected) {
      EXPECT_EQ(actual.rows[r], id);
      for (std::int64_t d = 0; d < dim; ++d) EXPECT_EQ(actual.values[r * dim + d], sum) << "row " << id;
      ++r;
    }
  }
}

TEST_P(Embedding, OneIdInAllBagsOfBothSidesIsOneRow) {
  OwnedBags sample(2);
  OwnedBags common(1);
  for (int bag = 0; bag < 6000; ++bag) sample.add_bag({42});
  for (int bag = 0; bag < 50; ++bag) common.add_bag({42});
  const Gradient actual =
      gradient(sample, common, std::vector<float>(6000 * 8, 1.0F), std::vector<float>(50 * 8, 2.0F), 8);
  EXPECT_EQ(actual.rows, std::vector<std::uint32_t>{42});
  EXPECT_EQ(actual.values, std::vector<float>(8, 6100.0F));
}

TEST_P(Embedding, SortsRowsOfAllThirtyTwoBits) {
  OwnedBags sample(1);
  // On a device the greatest of all marks padding; a model has no such row.
  const std::uint32_t greatest = std::numeric_limits<std::uint32_t>::max() - (backend->memory_is_host() ? 0 : 1);
  for (const std::uint32_t row : {greatest, 0U, 0x80000000U, 1U << 22U, greatest, 2047U, 2048U}) sample.add_bag({row});
  const Gradient actual = gradient(sample, {}, {1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F, 7.0F}, {}, 1);
  EXPECT_EQ(actual.rows, (std::vector<std::uint32_t>{0, 2047, 2048, 1U << 22U, 0x80000000U, greatest}));
  EXPECT_EQ(actual.values, (std::vector<float>{2.0F, 6.0F, 7.0F, 4.0F, 3.0F, 6.0F}));
}

TEST_P(Embedding, ABatchWithoutIdsHasNoGradient) {
  const Gradient nothing = gradient(OwnedBags(2), {}, {}, {}, 18);
  EXPECT_TRUE(nothing.rows.empty());
  OwnedBags empty_bags(2);
  for (int bag = 0; bag < 4; ++bag) empty_bags.add_bag({});
  EXPECT_TRUE(gradient(empty_bags, {}, std::vector<float>(4 * 18, 1.0F), {}, 18).rows.empty());
}

TEST_P(Embedding, GradientMatchesFiniteDifferencesOfThePooledSum) {
  // L(table) = Σ c · pooled is linear, so a difference quotient has no truncation error whatever its step: only the
  // rounding of the pooled sums and of the gradient itself is left.
  constexpr std::int64_t kDim = 12;
  constexpr std::int64_t kTable = 25;
  const OwnedBags bags = make_random_bags({.rows = 30, .fields = 3, .table_rows = kTable, .mean_ids = 3}, random);
  std::vector<float> table = random_floats(kTable * kDim, random);
  const std::vector<float> c = random_floats(30 * 3 * kDim, random);
  const Gradient analytic = gradient(bags, {}, c, {}, kDim);
  reference::RowGradients exact_gradient;
  reference::add_row_gradients(bags.view(), host_view(c, 30, 3 * kDim, 3 * kDim), kDim, exact_gradient);

  const BackendBags on_backend(*backend, bags);
  double bound = 0.0;
  const auto loss = [&] {
    const BackendMatrix on_table(*backend, kTable, kDim, kDim, table);
    const BackendMatrix out(*backend, 30, 3 * kDim, 3 * kDim);
    pool_embeddings(*backend, on_backend.view(), on_table.view(), out.view());
    const auto exact = reference::pool_embeddings(bags.view(), host_view(table, kTable, kDim, kDim));
    const std::vector<float> pooled = download(out.buffer);
    double sum = 0.0;
    bound = 0.0;
    for (std::size_t i = 0; i < pooled.size(); ++i) {
      sum += static_cast<double>(c[i]) * static_cast<double>(pooled[i]);
      bound += std::abs(static_cast<double>(c[i])) * exact[i].float_error();
    }
    return sum;
  };
  for (std::size_t r = 0; r < analytic.rows.size(); r += 3) {
    for (std::int64_t d = 0; d < kDim; d += 5) {
      float& weight = table[analytic.rows[r] * kDim + d];
      const float original = weight;
      weight = original + 1.0F;
      const double above = loss();
      const double bound_above = bound;
      const double h = static_cast<double>(weight) - static_cast<double>(original);
      weight = original;
      const double below = loss();
      const double gradient_error = exact_gradient.at(analytic.rows[r])[d].float_error();
      EXPECT_NEAR((above - below) / h, analytic.values[r * kDim + d], (bound_above + bound) / h + gradient_error);
    }
  }
}

TEST_P(Embedding, RefusesShapesThatDisagree) {
  const OwnedBags owned = make_random_bags({.rows = 4, .fields = 3, .table_rows = 10}, random);
  const BackendBags bags(*backend, owned);
  const BackendMatrix table(*backend, 10, 8, 8);
  const BackendMatrix narrow(*backend, 4, 23, 24);
  const BackendMatrix right(*backend, 4, 24, 24);
  EXPECT_THROW(pool_embeddings(*backend, bags.view(), table.view(), narrow.view()), Error);
  EXPECT_THROW(pool_embeddings(*backend, bags.view(), table.view(), right.view().top(3)), Error);
  Bags odd = bags.view();
  odd.fields = 5;
  EXPECT_THROW(pool_embeddings(*backend, odd, table.view(), right.view()), Error);

  const std::unique_ptr<SortedIds> sorted = backend->make_sorted_ids();
  sort_ids(*backend, bags.view(), {}, *sorted);
  OptimizerStep sgd{.config = {.kind = OptimizerKind::sgd}};
  const auto update = [&](const OptimizerStep& optimizer, const EmbeddingArena& arena, const Bags& common) {
    update_embeddings(*backend, *sorted, bags.view(), common, right.view(), right.view(), optimizer, arena);
  };
  update(sgd, {table.view(), {}}, {});
  if (backend->memory_is_host()) {  // a device does not read ids back to check them
    EXPECT_THROW(update(sgd, {table.view().top(2), {}}, {}), Error) << "rows beyond the arena";
  }
  EXPECT_THROW(update(sgd, {table.view(), {}}, bags.view()), Error) << "ids that were not sorted";
  EXPECT_THROW(update({.config = {.kind = OptimizerKind::adam}}, {table.view(), {}}, {}), Error) << "no state";
  EXPECT_THROW(update_rows(*backend, *sorted, sgd, {table.view(), {}}), Error) << "no gradient";
  embedding_gradient(*backend, *sorted, bags.view(), {}, right.view(), {}, 4);
  EXPECT_THROW(update_rows(*backend, *sorted, sgd, {table.view(), {}}), Error) << "a gradient of other rows";
  sort_ids(*backend, bags.view(), {}, *sorted);
  EXPECT_THROW(update_rows(*backend, *sorted, sgd, {table.view().columns(0, 4), {}}), Error) << "of ids before these";
  sgd.step = 0;
  EXPECT_THROW(update(sgd, {table.view(), {}}, {}), Error) << "steps count from 1";
}

INSTANTIATE_TEST_SUITE_P(Backends, Embedding, testing::ValuesIn(backends()), BackendName{});

}  // namespace
}  // namespace esmm::test
