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
  for (const std::int64_t dim : {1, 3, 33}) {
    for (const std::int64_t width : {1, 7, 31, 33}) {
      const std::int64_t pooled = 4 * 2 * dim, inputs = pooled + 2, stride = 2 * width + 2;
      const BackendMatrix layer(*backend_, inputs, 2 * width, stride,
                                std::vector<float>(static_cast<std::size_t>(inputs * stride), 1.0F));
      separate_towers(*backend_, layer.view(), pooled, dim);
      const std::vector<float> values = download(layer.buffer);
      for (std::int64_t i = 0; i < inputs; ++i) {
        for (std::int64_t c = 0; c < stride; ++c) {
          const bool first_half = i / dim % 2 == 0, first_tower = c < width;
          const bool kept = c >= 2 * width || i >= pooled || first_half == first_tower;
          ASSERT_EQ(values[static_cast<std::size_t>(i * stride + c)], kept ? 1.0F : 0.0F)
              << i << ' ' << c << " of width " << width << ", dim " << dim;
        }
      }
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
