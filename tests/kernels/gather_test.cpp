#include "kernels/gather.hpp"

#include <gtest/gtest.h>

#include "kernels/error.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/on_backend.hpp"

namespace esmm::test {
namespace {

class Gather : public testing::TestWithParam<BackendCase> {};
INSTANTIATE_TEST_SUITE_P(Backends, Gather, testing::ValuesIn(backends()), BackendName{});

constexpr std::uint32_t kCounts[] = {0, 1, 13, 31, 32, 33, 64, 65, 616};  // ids of a row: none, around a warp, many

/// Rows of three bags each; row r of the batch is row (7 r + 2) mod `stored` of the store.
struct Case {
  Case(std::size_t stored, std::size_t rows, bool weighted) {
    std::vector<std::uint32_t> first, counts;
    for (std::size_t r = 0; r < stored; ++r) {
      first.push_back(static_cast<std::uint32_t>(from_rows.size()));
      counts.push_back(kCounts[r % std::size(kCounts)]);
      for (std::uint32_t i = 0; i < counts.back(); ++i) {
        from_rows.push_back(static_cast<std::uint32_t>(1000 * r + i));
        if (weighted) from_weights.push_back(static_cast<float>(from_rows.back()) + 0.5F);
      }
    }
    for (std::size_t r = 0; r < rows; ++r) {
      const std::size_t source = (7 * r + 2) % stored;
      places.push_back(first[source]);
      for (std::uint32_t i = 0; i < counts[source]; ++i) expected_rows.push_back(from_rows[first[source] + i]);
      const std::uint32_t begin = offsets.back();  // bags of a third, two thirds and nothing
      offsets.insert(offsets.end(), {begin + counts[source] / 3, begin + counts[source], begin + counts[source]});
    }
  }
  std::vector<std::uint32_t> from_rows, places, offsets{0}, expected_rows;
  std::vector<float> from_weights;
};

TEST_P(Gather, FillsEveryRowFromItsPlaceAndTouchesNothingBehindTheLastId) {
  const auto backend = GetParam().make();
  for (const std::size_t rows : {std::size_t{1}, std::size_t{31}, std::size_t{33}, std::size_t{700}}) {
    for (const bool weighted : {false, true}) {
      const Case c(60, rows, weighted);
      const auto from_rows = upload(*backend, c.from_rows), places = upload(*backend, c.places),
                 offsets = upload(*backend, c.offsets);
      const auto from_weights = upload(*backend, c.from_weights);
      const std::size_t padded = c.expected_rows.size() + 9;
      const auto to = upload(*backend, std::vector<std::uint32_t>(padded, 77));
      const auto weights = upload(*backend, std::vector<float>(weighted ? padded : 0, -1.0F));
      gather_ids(*backend, {from_rows.span(), from_weights.span()}, places.span(),
                 {offsets.span(), 3, to.span(), weights.span()});
      const std::vector<std::uint32_t> actual = download(to);
      const std::vector<float> actual_weights = download(weights);
      for (std::size_t i = 0; i < padded; ++i) {
        const bool is_padding = i >= c.expected_rows.size();
        ASSERT_EQ(actual[i], is_padding ? 77 : c.expected_rows[i]) << i << " of " << rows << " rows";
        if (weighted) {
          ASSERT_EQ(actual_weights[i], is_padding ? -1.0F : static_cast<float>(c.expected_rows[i]) + 0.5F) << i;
        }
      }
    }
  }
}

TEST_P(Gather, RefusesShapesThatDoNotFit) {
  const auto backend = GetParam().make();
  const Case c(10, 4, false);
  const auto rows = upload(*backend, c.from_rows), places = upload(*backend, c.places),
             offsets = upload(*backend, c.offsets);
  const auto weights = upload(*backend, std::vector<float>(c.from_rows.size()));
  const StoredIds from{rows.span(), {}};
  EXPECT_THROW(gather_ids(*backend, from, places.span(), {offsets.span(), 2, rows.span(), {}}), Error);
  EXPECT_THROW(gather_ids(*backend, from, places.span(), {offsets.span(), 0, rows.span(), {}}), Error);
  EXPECT_THROW(gather_ids(*backend, from, places.span(), {offsets.span(), 3, rows.span(), weights.span()}), Error);
  EXPECT_THROW(gather_ids(*backend, {rows.span(), weights.span()}, places.span(), {offsets.span(), 3, rows.span(), {}}),
               Error);
}

}  // namespace
}  // namespace esmm::test
