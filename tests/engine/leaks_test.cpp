#include "engine/leaks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/pack.hpp"
#include "tests/support/csv_log.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

std::vector<std::string> leaks_of(const std::string& csv, std::size_t most_impressions = 1'000'000) {
  const test::TemporaryDirectory directory;
  const std::string file = directory.write("log.csv", csv);
  PackOptions options;
  options.min_count = 1;
  options.threads = 1;
  pack(*open_log(file, {.half = Half::whole, .schema = nullptr, .labels_required = true, .threads = 1}),
       directory / "packed", options);
  std::vector<std::string> found;
  for (const Leak& leak : find_leaks(*PackedDataset::open(directory / "packed"), most_impressions)) {
    EXPECT_GT(leak.auc, kLeakAuc);
    found.push_back(leak.feature + " tells " + leak.target);
  }
  return found;
}

TEST(Leaks, FieldAndDenseColumnMadeFromALabelAreFound) {
  EXPECT_THAT(leaks_of(test::csv_log(1000, /*leaky=*/true)),
              testing::UnorderedElementsAre("click_copy tells click", "price_paid tells conversion"));
}

TEST(Leaks, ASampleOfTheBlocksShowsThemToo) {
  EXPECT_THAT(leaks_of(test::csv_log(40'000, /*leaky=*/true), 20'000),
              testing::UnorderedElementsAre("click_copy tells click", "price_paid tells conversion"));
}

TEST(Leaks, HonestFeaturesAreNotAccused) {
  EXPECT_THAT(leaks_of(test::csv_log(1000)), testing::IsEmpty());
}

TEST(Leaks, TooFewPositivesProveNothing) {
  EXPECT_THAT(leaks_of(test::csv_log(40, /*leaky=*/true)), testing::IsEmpty());
}

TEST(Leaks, AnIdThatIsMissingTellsTooAndALowValueAsMuchAsAHighOne) {
  std::string csv = "click,conversion,item,clicked_at,wait\n";
  for (int r = 0; r < 400; ++r) {
    // clicked_at has many ids, but only for clicked impressions; wait falls where there is a click.
    csv += r % 3 == 0 ? "1,0,5," + std::to_string(r / 6 % 4) + ",0.5\n" : "0,0,5,,9.5\n";
  }
  EXPECT_THAT(leaks_of(csv), testing::UnorderedElementsAre("clicked_at tells click", "wait tells click"));
}

}  // namespace
}  // namespace esmm
