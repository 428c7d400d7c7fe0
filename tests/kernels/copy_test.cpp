#include "kernels/copy.hpp"

#include <gtest/gtest.h>

#include "kernels/error.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/on_backend.hpp"

namespace esmm::test {
namespace {

class Copy : public testing::TestWithParam<BackendCase> {};
INSTANTIATE_TEST_SUITE_P(Backends, Copy, testing::ValuesIn(backends()), BackendName{});

TEST_P(Copy, CopiesTheElementsAndLeavesThePaddingOfBothMatricesAlone) {
  const auto backend = GetParam().make();
  std::vector<float> values(5 * 4);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const BackendMatrix from(*backend, 5, 3, 4, values);
  const BackendMatrix to(*backend, 5, 3, 7, std::vector<float>(5 * 7, -1.0F));
  copy_matrix(*backend, from.view(), to.view());
  const std::vector<float> copied = download(to.buffer);
  for (std::size_t r = 0; r < 5; ++r) {
    for (std::size_t c = 0; c < 7; ++c) {
      EXPECT_EQ(copied[r * 7 + c], c < 3 ? values[r * 4 + c] : -1.0F) << "row " << r << ", column " << c;
    }
  }
  EXPECT_EQ(download(from.buffer), values);
}

}  // namespace
}  // namespace esmm::test
