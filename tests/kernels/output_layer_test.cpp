#include "kernels/cpu/output_layer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace esmm::cpu {
namespace {

constexpr std::int64_t kRows = 9, kPadding = 3, kLogitStride = 2;

/// Operands with padding between the rows; the weight's column has a stride.
class OutputLayer : public testing::TestWithParam<std::int64_t> {
 protected:
  OutputLayer()
      : units_(GetParam()),
        a_(random(kRows * (units_ + kPadding))),
        weight_(random(units_ * 2)),
        dlogits_(random(kRows * kLogitStride)) {}

  static std::vector<float> random(std::int64_t count) {
    static std::mt19937 engine(7);
    std::uniform_real_distribution<float> value(-1.0F, 1.0F);
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& v : values) v = value(engine);
    return values;
  }
  [[nodiscard]] MatrixView<const float> a() const { return {a_.data(), kRows, units_, units_ + kPadding}; }
  [[nodiscard]] MatrixView<const float> weight() const { return {weight_.data(), units_, 1, 2}; }
  [[nodiscard]] MatrixView<const float> dlogits() const { return {dlogits_.data(), kRows, 1, kLogitStride}; }
  /// One rounding per product and per sum of `terms`.
  static double bound(std::int64_t terms, double magnitude) {
    return 1.01 * static_cast<double>(terms + 2) * 0x1p-24 * magnitude;
  }

  std::int64_t units_;
  std::vector<float> a_, weight_, dlogits_;
};
INSTANTIATE_TEST_SUITE_P(Units, OutputLayer, testing::Values(1, 15, 16, 17, 80, 255, 256, 257, 300));

TEST_P(OutputLayer, ForwardMatchesTheDoubleReferenceAndWritesItsColumnOnly) {
  std::vector<float> logits(static_cast<std::size_t>(kRows * kLogitStride), 5.0F);
  output_forward(a(), weight(), 0.25F, {logits.data(), kRows, 1, kLogitStride});
  for (std::int64_t r = 0; r < kRows; ++r) {
    double sum = 0.25, magnitude = 0.25;
    for (std::int64_t k = 0; k < units_; ++k) {
      const double term = static_cast<double>(a()(r, k)) * static_cast<double>(weight()(k, 0));
      sum += term;
      magnitude += std::fabs(term);
    }
    const auto place = static_cast<std::size_t>(r * kLogitStride);
    EXPECT_NEAR(static_cast<double>(logits[place]), sum, bound(units_, magnitude)) << r;
    EXPECT_EQ(logits[place + 1], 5.0F) << r;
  }
}

TEST_P(OutputLayer, DgradIsTheOuterProduct) {
  std::vector<float> da(a_.size(), 5.0F);
  output_dgrad(dlogits(), weight(), {da.data(), kRows, units_, units_ + kPadding});
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t k = 0; k < units_ + kPadding; ++k) {
      EXPECT_EQ(da[static_cast<std::size_t>(r * (units_ + kPadding) + k)],
                k < units_ ? dlogits()(r, 0) * weight()(k, 0) : 5.0F);
    }
  }
}

TEST_P(OutputLayer, WgradAddsTheProductsOfEveryRow) {
  std::vector<float> dweight(static_cast<std::size_t>(units_ * 2), 0.5F);
  output_wgrad(a(), dlogits(), {dweight.data(), units_, 1, 2});
  for (std::int64_t k = 0; k < units_; ++k) {
    double sum = 0.5, magnitude = 0.5;
    for (std::int64_t r = 0; r < kRows; ++r) {
      const double term = static_cast<double>(a()(r, k)) * static_cast<double>(dlogits()(r, 0));
      sum += term;
      magnitude += std::fabs(term);
    }
    const auto place = static_cast<std::size_t>(2 * k);
    EXPECT_NEAR(static_cast<double>(dweight[place]), sum, bound(kRows, magnitude)) << k;
    EXPECT_EQ(dweight[place + 1], 0.5F) << k;
  }
}

}  // namespace
}  // namespace esmm::cpu
