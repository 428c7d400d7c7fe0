#include <mma.h>

#include <random>

#include "tests/simt/device_array.hpp"

namespace simt::test {
namespace {

using namespace nvcuda;
using ::testing::HasSubstr;

std::vector<float> random_matrix(int elements, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  std::vector<float> result(static_cast<std::size_t>(elements));
  for (float& value : result) value = widen_bfloat16(round_to_bfloat16(uniform(random)));
  return result;
}
std::vector<__nv_bfloat16> narrow(const std::vector<float>& from) {
  return {from.begin(), from.end()};
}

template <int m, int n, int k, class LayoutA, class LayoutB, wmma::layout_t layout_c>
__global__ void product_kernel(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c, float scale) {
  wmma::fragment<wmma::matrix_a, m, n, k, __nv_bfloat16, LayoutA> fa;
  wmma::fragment<wmma::matrix_b, m, n, k, __nv_bfloat16, LayoutB> fb;
  wmma::fragment<wmma::accumulator, m, n, k, float> fc;
  wmma::fill_fragment(fc, 0.0F);
  for (int round = 0; round < 2; ++round) {
    wmma::load_matrix_sync(fa, a + round * m * k, fa.kRowMajor ? k : m);
    wmma::load_matrix_sync(fb, b + round * k * n, fb.kRowMajor ? n : k);
    wmma::mma_sync(fc, fa, fb, fc);
  }
  for (int i = 0; i < fc.num_elements; ++i) fc.x[i] *= scale;
  wmma::store_matrix_sync(c, fc, layout_c == wmma::mem_row_major ? n : m, layout_c);
}

template <int m, int n, int k, class LayoutA, class LayoutB, wmma::layout_t layout_c>
void expect_product() {
  const std::vector<float> a = random_matrix(2 * m * k, 1), b = random_matrix(2 * k * n, 2);
  const DeviceArray<__nv_bfloat16> device_a(narrow(a)), device_b(narrow(b));
  const DeviceArray<float> device_c(m * n);
  launch<product_kernel<m, n, k, LayoutA, LayoutB, layout_c>>(1, 32, 0, nullptr, device_a.data(), device_b.data(),
                                                              device_c.data(), 0.5F);
  const std::vector<float> c = device_c.host();
  const auto at = [](const std::vector<float>& from, int round, bool rows, int height, int width, int r, int col) {
    return static_cast<double>(
        from[static_cast<std::size_t>(round * height * width + (rows ? r * width + col : col * height + r))]);
  };
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < n; ++j) {
      double expected = 0;
      for (int round = 0; round < 2; ++round) {
        for (int l = 0; l < k; ++l) {
          expected += at(a, round, std::is_same_v<LayoutA, wmma::row_major>, m, k, i, l) *
                      at(b, round, std::is_same_v<LayoutB, wmma::row_major>, k, n, l, j);
        }
      }
      const double actual = at(c, 0, layout_c == wmma::mem_row_major, m, n, i, j);
      // 2k additions of terms below 1 in float.
      ASSERT_NEAR(actual, 0.5 * expected, 2 * k * 2 * k * 0x1p-24) << i << ' ' << j;
    }
  }
}

TEST(MatrixProduct, AgreesWithADoubleReferenceInEveryShapeAndLayout) {
  expect_product<16, 16, 16, wmma::row_major, wmma::row_major, wmma::mem_row_major>();
  expect_product<16, 16, 16, wmma::row_major, wmma::col_major, wmma::mem_row_major>();
  expect_product<16, 16, 16, wmma::col_major, wmma::row_major, wmma::mem_col_major>();
  expect_product<32, 8, 16, wmma::row_major, wmma::col_major, wmma::mem_row_major>();
  expect_product<32, 8, 16, wmma::col_major, wmma::row_major, wmma::mem_col_major>();
  expect_product<8, 32, 16, wmma::row_major, wmma::row_major, wmma::mem_row_major>();
  expect_product<8, 32, 16, wmma::col_major, wmma::col_major, wmma::mem_col_major>();
}

template <bool rounded>
__global__ void tf32_kernel(const float* a, const float* b, float* c) {
  wmma::fragment<wmma::matrix_a, 16, 16, 8, wmma::precision::tf32, wmma::row_major> fa;
  wmma::fragment<wmma::matrix_b, 16, 16, 8, wmma::precision::tf32, wmma::row_major> fb;
  wmma::fragment<wmma::accumulator, 16, 16, 8, float> fc;
  wmma::load_matrix_sync(fc, c, 16, wmma::mem_row_major);
  wmma::load_matrix_sync(fa, a, 8);
  wmma::load_matrix_sync(fb, b, 16);
  if (rounded) {
    for (float& x : fa.x) x = wmma::__float_to_tf32(x);
    for (float& x : fb.x) x = wmma::__float_to_tf32(x);
  }
  wmma::mma_sync(fc, fa, fb, fc);
  wmma::store_matrix_sync(c, fc, 16, wmma::mem_row_major);
}

TEST(MatrixProduct, OfTf32NeedsRoundedOperands) {
  std::vector<float> a(16 * 8, 1.0F + 0x1p-20F), b(8 * 16, 0.5F);
  const DeviceArray<float> device_a(a), device_b(b), c(std::vector<float>(256, 1.0F));
  EXPECT_THAT(
      fault_of([&] { launch<tf32_kernel<false>>(1, 32, 0, nullptr, device_a.data(), device_b.data(), c.data()); }),
      HasSubstr("not rounded by __float_to_tf32"));
  EXPECT_EQ(fault_of([&] { launch<tf32_kernel<true>>(1, 32, 0, nullptr, device_a.data(), device_b.data(), c.data()); }),
            "");
  EXPECT_EQ(c.host(), std::vector<float>(256, 5.0F));
}

// On NVIDIA's hardware lane l holds row l / 4 (and l / 4 + 8): a program may not know that.
__global__ void row_scale_kernel(float* c) {
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> fc;
  wmma::fill_fragment(fc, 1.0F);
  for (int i = 0; i < fc.num_elements; ++i) fc.x[i] *= static_cast<float>(threadIdx.x / 4 + (i % 4 < 2 ? 0 : 8));
  wmma::store_matrix_sync(c, fc, 16, wmma::mem_row_major);
}

TEST(MatrixProduct, ReliesOnNvidiasElementPlacesAndIsWrong) {
  const DeviceArray<float> c(256);
  launch<row_scale_kernel>(1, 32, 0, nullptr, c.data());
  const std::vector<float> result = c.host();
  int right = 0;
  for (std::size_t e = 0; e < 256; ++e) right += result[e] == static_cast<float>(e / 16);
  EXPECT_LT(right, 64);
}

TEST(MatrixProduct, FragmentsOfDifferentKindsKeepElementsInDifferentPlaces) {
  using A = wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, wmma::row_major>;
  using B = wmma::fragment<wmma::matrix_b, 16, 16, 16, __nv_bfloat16, wmma::row_major>;
  using C = wmma::fragment<wmma::accumulator, 16, 16, 16, float>;
  unsigned same = 0;
  for (unsigned p = 0; p < 256; ++p) {
    ASSERT_EQ(A::kPlaces.position(A::kPlaces.element(p)), p);
    same += A::kPlaces.element(p) == B::kPlaces.element(p) || A::kPlaces.element(p) == C::kPlaces.element(p);
  }
  EXPECT_LT(same, 16U);
}

TEST(MatrixProduct, UninitialisedFragmentsHoldNoNumbers) {
  const DeviceArray<float> out(256);
  launch("store", 1, 32, 0, nullptr, [to = out.data()] {
    const wmma::fragment<wmma::accumulator, 16, 16, 16, float> fragment;
    wmma::store_matrix_sync(to, fragment, 16, wmma::mem_row_major);
  });
  for (const float value : out.host()) EXPECT_TRUE(std::isnan(value));
}

std::string store_fault(std::function<std::pair<unsigned, unsigned>(unsigned lane)> offset_and_stride, unsigned lanes) {
  return fault_of([&] {
    const DeviceArray<float> out(1024);
    launch("store", 1, lanes, 0, nullptr, [to = out.data(), offset_and_stride] {
      wmma::fragment<wmma::accumulator, 16, 16, 16, float> fragment;
      const auto [offset, stride] = offset_and_stride(threadIdx.x);
      wmma::store_matrix_sync(to + offset, fragment, stride, wmma::mem_row_major);
    });
    cudaDeviceSynchronize();
  });
}

TEST(MatrixProduct, MisalignedOrDifferentArgumentsAreFaults) {
  EXPECT_EQ(store_fault([](unsigned) { return std::pair(8U, 20U); }, 32), "");
  EXPECT_THAT(store_fault([](unsigned) { return std::pair(4U, 20U); }, 32), HasSubstr("not 32-byte aligned"));
  EXPECT_THAT(store_fault([](unsigned) { return std::pair(8U, 18U); }, 32), HasSubstr("a stride of 18"));
  EXPECT_THAT(store_fault([](unsigned lane) { return std::pair(lane / 31 * 8, 20U); }, 32),
              HasSubstr("different arguments in its lanes"));
  EXPECT_THAT(store_fault([](unsigned) { return std::pair(8U, 20U); }, 31), HasSubstr("needs lane 31"));
}

TEST(Bfloat16, RoundsToNearestEvenAndKeepsNotANumber) {
  EXPECT_EQ(__bfloat162float(__float2bfloat16(1.0F + 0x1p-8F)), 1.0F);
  EXPECT_EQ(__bfloat162float(__float2bfloat16(1.0F + 0x3p-8F)), 1.0F + 0x1p-6F);
  EXPECT_EQ(__bfloat162float(__float2bfloat16(1.0F + 0x1p-8F + 0x1p-20F)), 1.0F + 0x1p-7F);
  EXPECT_EQ(__bfloat162float(__float2bfloat16(3.4e38F)), INFINITY);
  EXPECT_TRUE(std::isnan(__bfloat162float(__float2bfloat16(std::bit_cast<float>(0x7F800001U)))));
  EXPECT_EQ(__bfloat162float(__float2bfloat16(1.0F) + __float2bfloat16(0x1p-9F)), 1.0F);
  const __nv_bfloat162 pair = __floats2bfloat162_rn(2.0F, -3.0F);
  EXPECT_EQ(__low2float(pair), 2.0F);
  EXPECT_EQ(__high2float(pair), -3.0F);
  static_assert(sizeof(pair) == 4 && alignof(__nv_bfloat162) == 4 && std::is_trivially_copyable_v<__nv_bfloat162>);
}

}  // namespace
}  // namespace simt::test
