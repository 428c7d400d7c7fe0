// The norm of a step's gradients and the factor that limits it: `clipping_scale` of kernels/optimizer.hpp.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/embedding.hpp"
#include "kernels/error.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/on_backend.hpp"
#include "tests/support/random_bags.hpp"

namespace esmm::test {
namespace {

long double sum_of_squares(const std::vector<float>& values) {
  long double sum = 0.0L;
  for (const float value : values) sum += static_cast<long double>(value) * static_cast<long double>(value);
  return sum;
}

class Clipping : public testing::TestWithParam<BackendCase> {
 protected:
  float scale(const std::vector<float>& gradients, const SortedIds* rows, float limit) {
    const Buffer<float> on_backend = upload(*backend, gradients);
    const Buffer<float> result = upload(*backend, std::vector{-1.0F});
    clipping_scale(*backend, on_backend.span(), rows, limit, result.data());
    return download(result)[0];
  }
  /// Leaves the row gradients of a batch of `bags` bags of one field in `sorted`, and returns them. `padding` ids lie
  /// behind the last bag, where the backend allows that.
  std::vector<float> row_gradients_of(std::int64_t bags, std::int64_t dim, std::size_t padding) {
    OwnedBags batch = make_random_bags({.rows = bags, .fields = 1, .table_rows = 3000, .mean_ids = 2}, random);
    if (!backend->memory_is_host()) {
      batch.rows.insert(batch.rows.end(), padding, 7);
      batch.weights.insert(batch.weights.end(), padding, 100.0F);
    }
    const BackendBags on_backend(*backend, batch);
    const BackendMatrix pooled(*backend, bags, dim, dim, random_floats(bags * dim, random));
    sort_ids(*backend, on_backend.view(), {}, *sorted);
    embedding_gradient(*backend, *sorted, on_backend.view(), {}, pooled.view(), {}, dim);
    const SparseGradient result = row_gradients(*backend, *sorted);
    return download<float>(*backend, {result.values.data, static_cast<std::size_t>(result.values.rows * dim)});
  }

  std::unique_ptr<Backend> backend = GetParam().make();
  std::mt19937 random{20180417};
  std::unique_ptr<SortedIds> sorted = backend->make_sorted_ids();
};

TEST_P(Clipping, ScalesTheNormOfAllGradientsDownToTheLimit) {
  // Chunks of 16,384 elements and less than one; more rows, then fewer, whose memory still holds the others' gradients.
  for (const std::int64_t towers : {1, 5, 31, 33, 257, 16384, 16385, 40001}) {
    for (const std::int64_t bags : {0, 4000, 1, 3, 0, 300}) {
      SCOPED_TRACE(testing::Message() << towers << " parameters of towers, " << bags << " bags");
      const std::vector<float> gradients = random_floats(towers, random);
      const std::vector<float> rows = bags == 0 ? std::vector<float>{} : row_gradients_of(bags, 12, 20);
      const long double norm = std::sqrt(sum_of_squares(gradients) + sum_of_squares(rows));
      const SortedIds* clipped = bags == 0 ? nullptr : sorted.get();
      for (const float factor : {0.999F, 0.5F, 1e-6F}) {
        const auto limit = static_cast<float>(norm * static_cast<long double>(factor));
        const long double expected = static_cast<long double>(limit) / norm;
        // Squares of floats are exact in double and only their additions round, all terms positive; the root halves
        // that, root and quotient round once each in double, and the result once to float.
        const auto terms = static_cast<double>(gradients.size() + rows.size());
        const double relative = (terms / 2 + 2) * 0x1p-53 + 0x1p-24;
        EXPECT_NEAR(scale(gradients, clipped, limit), static_cast<double>(expected),
                    static_cast<double>(expected) * relative);
      }
      EXPECT_EQ(scale(gradients, clipped, static_cast<float>(norm * 1.001L)), 1.0F);
    }
  }
}

TEST_P(Clipping, ANormOfExactlyTheLimitIsLeftAlone) {
  EXPECT_EQ(scale({3.0F, 4.0F}, nullptr, 5.0F), 1.0F);
  EXPECT_EQ(scale({0.0F, 0.0F}, nullptr, 5.0F), 1.0F);
  EXPECT_EQ(scale({6.0F, 8.0F}, nullptr, 5.0F), 0.5F);
}

TEST_P(Clipping, ABatchWithoutIdsAddsNothing) {
  (void)row_gradients_of(300, 18, 0);
  OwnedBags empty(1);
  for (int bag = 0; bag < 4; ++bag) empty.add_bag({});
  const BackendBags on_backend(*backend, empty);
  const BackendMatrix pooled(*backend, 4, 18, 18, std::vector<float>(4 * 18, 1.0F));
  sort_ids(*backend, on_backend.view(), {}, *sorted);
  embedding_gradient(*backend, *sorted, on_backend.view(), {}, pooled.view(), {}, 18);
  EXPECT_EQ(scale({6.0F, 8.0F}, sorted.get(), 5.0F), 0.5F);
}

TEST_P(Clipping, WhatIsNotFiniteIsNotHidden) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(scale({1.0F, std::numeric_limits<float>::quiet_NaN()}, nullptr, 0.5F), 1.0F);
  EXPECT_EQ(scale({infinity, std::numeric_limits<float>::quiet_NaN()}, nullptr, 0.5F), 1.0F);
  EXPECT_EQ(scale({1.0F, -infinity}, nullptr, 0.5F), 0.0F) << "0 times infinity is no number";
  EXPECT_GT(scale({std::numeric_limits<float>::max(), 1.0F}, nullptr, 0.5F), 0.0F) << "its square is one of double";
}

TEST_P(Clipping, RefusesWhatItCannotClip) {
  EXPECT_THROW((void)scale({1.0F}, nullptr, 0.0F), Error);
  EXPECT_THROW((void)scale({1.0F}, sorted.get(), 1.0F), Error) << "ids that were not sorted";
  (void)row_gradients_of(3, 4, 0);
  EXPECT_NO_THROW((void)scale({1.0F}, sorted.get(), 1.0F));
  sort_ids(*backend, {}, {}, *sorted);
  EXPECT_THROW((void)scale({1.0F}, sorted.get(), 1.0F), Error) << "the gradients of other ids";
}

INSTANTIATE_TEST_SUITE_P(Backends, Clipping, testing::ValuesIn(backends()), BackendName{});

}  // namespace
}  // namespace esmm::test
