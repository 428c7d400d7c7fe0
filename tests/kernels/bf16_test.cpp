#include "kernels/cpu/bf16.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace esmm::cpu {
namespace {

float wide(std::uint32_t half) {
  return std::bit_cast<float>(half << 16U);
}

Bf16 rounded(float value) {
  Bf16 result = 0;
  round_to_bf16({&value, 1, 1}, {&result, 1, 1});
  return result;
}

TEST(Bf16, RoundsToTheNearestAndTiesToEven) {
  EXPECT_EQ(rounded(1.0F), 0x3F80);
  EXPECT_EQ(rounded(1.0F + 0x1p-8F), 0x3F80) << "a tie: down to the even neighbour";
  EXPECT_EQ(rounded(1.0F + 0x1.8p-7F), 0x3F82) << "a tie: up to the even neighbour";
  EXPECT_EQ(rounded(1.0F + 0x1.002p-8F), 0x3F81);
  EXPECT_EQ(rounded(-1.0F - 0x1p-7F), 0xBF81);
  EXPECT_EQ(rounded(std::numeric_limits<float>::max()), 0x7F80) << "infinity is nearer than the greatest bfloat16";
  EXPECT_EQ(rounded(-0.0F), 0x8000);
}

TEST(Bf16, ANanStaysANanHoweverItIsWritten) {
  for (const std::uint32_t bits : {0x7F800001U, 0x7FC00000U, 0x7FFFFFFFU, 0xFFFFFFFFU, 0xFF800001U}) {
    EXPECT_TRUE(std::isnan(wide(rounded(std::bit_cast<float>(bits))))) << bits;
  }
}

TEST(Bf16, EveryBf16SurvivesWideningAndRounding) {
  for (std::uint32_t bits = 0; bits <= 0xFFFFU; ++bits) {
    if (std::isnan(wide(bits))) continue;
    ASSERT_EQ(rounded(wide(bits)), bits);
  }
}

TEST(Bf16, PairsOfRowsAndOfColumnsEndInZerosWhereTheMatrixIsOdd) {
  const std::vector<float> values{1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F, 7.0F, 8.0F, 9.0F};
  const auto pair = [](float low, float high) { return Bf16Pair{rounded(low)} | (Bf16Pair{rounded(high)} << 16U); };
  std::vector<Bf16Pair> pairs(6);
  pair_rows(MatrixView<const float>(values.data(), 3, 3), {pairs.data(), 2, 3});
  EXPECT_EQ(pairs, (std::vector<Bf16Pair>{pair(1, 4), pair(2, 5), pair(3, 6), pair(7, 0), pair(8, 0), pair(9, 0)}));
  pair_columns(MatrixView<const float>(values.data(), 3, 3), {pairs.data(), 2, 3});
  EXPECT_EQ(pairs, (std::vector<Bf16Pair>{pair(1, 2), pair(4, 5), pair(7, 8), pair(3, 0), pair(6, 0), pair(9, 0)}));
}

// ---- products ----

struct Multiply {
  std::string name;
  void (*function)(const Bf16Product&);
  bool (*is_there)();
};
class Bf16Products : public testing::TestWithParam<Multiply> {
 protected:
  void SetUp() override {
    if (!GetParam().is_there()) GTEST_SKIP() << "this processor has no AVX512-BF16";
  }
};
INSTANTIATE_TEST_SUITE_P(Kernels, Bf16Products,
                         testing::Values(Multiply{"portable", multiply_bf16_portable, [] { return true; }},
                                         Multiply{"avx512", multiply_bf16_avx512, has_bf16_instructions}),
                         [](const auto& param) { return param.param.name; });

template <class T>
auto& at(T& values, std::int64_t i) {
  return values[static_cast<std::size_t>(i)];
}

/// Random matrices with NaNs behind every row, which a product must neither read nor overwrite.
class Product {
 public:
  Product(std::int64_t rows, std::int64_t cols, std::int64_t depth)
      : rows_(rows), cols_(cols), depth_(depth), a_(rows * (depth + 3)), b_((depth + 1) / 2 * (cols + 5)) {
    std::mt19937 random(7);
    std::uniform_real_distribution<float> value(-1.0F, 1.0F);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t k = 0; k < depth + 3; ++k)
        at(a_, r * (depth + 3) + k) = k < depth ? rounded(value(random)) : kNan;
    }
    for (std::int64_t q = 0; q < (depth + 1) / 2; ++q) {
      for (std::int64_t n = 0; n < cols + 5; ++n) {
        const Bf16Pair high = 2 * q + 1 < depth ? rounded(value(random)) : 0;
        at(b_, q * (cols + 5) + n) = n < cols ? rounded(value(random)) | (high << 16U) : kNan | (kNan << 16U);
      }
    }
  }

  void expect_matches(void (*multiply)(const Bf16Product&), bool accumulate) const {
    std::vector<float> c(static_cast<std::size_t>(rows_ * (cols_ + 2)), 0.5F);
    multiply({a_.data(), depth_ + 3, 2, b_.data(), cols_ + 5, c.data(), cols_ + 2, rows_, cols_, depth_, accumulate});
    for (std::int64_t r = 0; r < rows_; ++r) {
      for (std::int64_t n = 0; n < cols_; ++n) expect_element(at(c, r * (cols_ + 2) + n), r, n, accumulate);
      for (std::int64_t n = cols_; n < cols_ + 2; ++n) ASSERT_EQ(at(c, r * (cols_ + 2) + n), 0.5F) << "padding";
    }
  }

 private:
  static constexpr Bf16 kNan = 0x7FC0;

  void expect_element(float value, std::int64_t r, std::int64_t n, bool accumulate) const {
    double sum = accumulate ? 0.5 : 0.0, magnitude = sum;
    for (std::int64_t k = 0; k < depth_; ++k) {
      const Bf16Pair pair = at(b_, k / 2 * (cols_ + 5) + n);
      const double term = static_cast<double>(wide(at(a_, r * (depth_ + 3) + k))) *
                          static_cast<double>(wide(k % 2 == 0 ? pair & 0xFFFFU : pair >> 16U));
      sum += term;
      magnitude += std::fabs(term);
    }
    // Products of 8 bits are exact in fp32: one rounding per sum. The instruction flushes denormals: 2^-126 per term.
    const double bound = 1.01 * static_cast<double>(depth_ + 1) * (0x1p-24 * magnitude + 0x1p-126);
    ASSERT_NEAR(static_cast<double>(value), sum, bound) << r << ", " << n;
  }

  std::int64_t rows_, cols_, depth_;
  std::vector<Bf16> a_;
  std::vector<Bf16Pair> b_;
};

TEST_P(Bf16Products, MatchTheDoubleReferenceOverAwkwardShapes) {
  for (const std::int64_t rows : {0, 1, 3, 4, 9}) {
    for (const std::int64_t cols : {0, 1, 15, 16, 17, 63, 64, 83, 130}) {
      for (const std::int64_t depth : {0, 1, 2, 7, 40}) {
        const Product product(rows, cols, depth);
        product.expect_matches(GetParam().function, false);
        product.expect_matches(GetParam().function, true);
        if (HasFatalFailure()) FAIL() << rows << " x " << cols << " x " << depth;
      }
    }
  }
}

}  // namespace
}  // namespace esmm::cpu
