#include "kernels/separate_towers.hpp"

#include <gtest/gtest.h>

#include "kernels/error.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/on_backend.hpp"

namespace esmm::test {
namespace {

class SeparateTowers : public testing::TestWithParam<BackendCase> {
 protected:
  std::unique_ptr<Backend> backend_ = GetParam().make();
};
INSTANTIATE_TEST_SUITE_P(Backends, SeparateTowers, testing::ValuesIn(backends()), BackendName{});

TEST_P(SeparateTowers, LeavesEachTowerItsHalfOfEveryFieldAndAllDenseInputs) {
  constexpr std::int64_t kDim = 3, kPooled = 4 * 2 * kDim, kInputs = kPooled + 2, kWidth = 7, kStride = 16;
  const BackendMatrix layer(*backend_, kInputs, 2 * kWidth, kStride, std::vector<float>(kInputs * kStride, 1.0F));
  separate_towers(*backend_, layer.view(), kPooled, kDim);
  const std::vector<float> values = download(layer.buffer);
  for (std::int64_t i = 0; i < kInputs; ++i) {
    for (std::int64_t c = 0; c < kStride; ++c) {
      const bool first_half = i / kDim % 2 == 0, first_tower = c < kWidth;
      const bool kept = c >= 2 * kWidth || i >= kPooled || first_half == first_tower;
      ASSERT_EQ(values[static_cast<std::size_t>(i * kStride + c)], kept ? 1.0F : 0.0F) << i << ' ' << c;
    }
  }
}

TEST_P(SeparateTowers, RejectsShapesThatDisagree) {
  std::vector<float> values(64);
  const MatrixView<float> layer(values.data(), 8, 6);
  EXPECT_THROW(separate_towers(*backend_, layer, 8, 3), Error);   // no whole number of fields
  EXPECT_THROW(separate_towers(*backend_, layer, 12, 3), Error);  // more inputs than there are
  EXPECT_THROW(separate_towers(*backend_, {values.data(), 8, 5}, 8, 2), Error);
}

}  // namespace
}  // namespace esmm::test
