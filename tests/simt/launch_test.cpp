#include <stdexcept>
#include <thread>

#include "tests/simt/device_array.hpp"
#include "tests/support/sanitized.hpp"

namespace simt::test {
namespace {

using ::testing::HasSubstr;

__global__ void nothing_kernel() {}
template <int dim, class T>
__global__ void typed_kernel(T* out) {
  out[threadIdx.x] = static_cast<T>(dim);
}
__global__ void where_kernel(int* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  out[block * (blockDim.x * blockDim.y * blockDim.z) + thread] += static_cast<int>(blockIdx.y * 100 + threadIdx.z) + 1;
}
__global__ void shared_kernel() {
  static_cast<char*>(shared_memory())[0] = 0;
}
__global__ void throwing_kernel() {
  if (threadIdx.x == 5) throw std::runtime_error("table is empty");
}
__global__ void host_call_kernel() {
  cudaDeviceSynchronize();
}
__global__ void overflow_kernel(int* out) {
  volatile char local[256 * 1024];
  for (std::size_t i = sizeof(local); i > 0; i -= 1024) local[i - 1] = 1;
  *out = local[0];
}

TEST(Launch, NamesKernelsWithoutNamespacesAndTemplateArguments) {
  static_assert(kernel_name<nothing_kernel>() == "nothing_kernel");
  static_assert(kernel_name<typed_kernel<4, std::vector<float>>>() == "typed_kernel");
  const std::int64_t before = launched_kernels()["typed_kernel"];
  const ApiCalls calls = api_calls();
  const DeviceArray<float> out(32);
  launch<typed_kernel<4, float>>(1, 32, 0, nullptr, out.data());
  EXPECT_EQ(launched_kernels()["typed_kernel"], before) << "it runs late";
  EXPECT_EQ(out.host(), std::vector<float>(32, 4.0F));
  EXPECT_EQ(launched_kernels()["typed_kernel"], before + 1);
  EXPECT_EQ(api_calls().launches, calls.launches + 1);
  EXPECT_EQ(api_calls().copies, calls.copies + 1);
  EXPECT_EQ(api_calls().allocations, calls.allocations + 1);
  EXPECT_GT(api_calls().synchronisations, calls.synchronisations);
}

TEST(Launch, RunsEveryThreadOfEveryBlockOnce) {
  const cuda::dim3 grid(3, 2, 2), block(5, 3, 4);
  const DeviceArray<int> out(std::vector<int>(12 * 60, 0));
  launch<where_kernel>(grid, block, 0, nullptr, out.data());
  std::vector<int> expected;
  for (int b = 0; b < 12; ++b) {
    for (int t = 0; t < 60; ++t) expected.push_back(b / 3 % 2 * 100 + t / 15 + 1);
  }
  EXPECT_EQ(out.host(), expected);
}

TEST(Launch, BeyondTheLimitsIsAnErrorOfTheCall) {
  EXPECT_EQ(launch<nothing_kernel>(0, 32, 0, nullptr), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(launch<nothing_kernel>(1, 0, 0, nullptr), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch<nothing_kernel>(1, 1025, 0, nullptr), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch<nothing_kernel>(1, cuda::dim3(32, 33), 0, nullptr), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch<nothing_kernel>(cuda::dim3(1, 65536), 32, 0, nullptr), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch<nothing_kernel>(cuda::dim3(65536, 1), 1, 0, nullptr), cudaSuccess);
  cudaGetLastError();
  EXPECT_EQ(fault_of([] {}), "");
}

TEST(Launch, RefusedAndNotAskedAboutIsAFault) {
  EXPECT_EQ(fault_of([] { launch<nothing_kernel>(0, 32, 0, nullptr); }),
            "the launch of nothing_kernel failed: invalid configuration argument");
  cudaGetLastError();
}

TEST(Launch, NeedsAnOptInForMoreThan48KilobytesOfSharedMemory) {
  EXPECT_EQ(launch<shared_kernel>(1, 32, 49152, nullptr), cudaSuccess);
  EXPECT_EQ(launch<shared_kernel>(1, 32, 49153, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(shared_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024 + 1),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(shared_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024), cudaSuccess);
  EXPECT_EQ(launch<shared_kernel>(1, 32, 227 * 1024, nullptr), cudaSuccess);
  EXPECT_EQ(launch<shared_kernel>(1, 32, 227 * 1024 + 1, nullptr), cudaErrorInvalidValue);
  cudaGetLastError();
  EXPECT_EQ(fault_of([] {}), "");
}

TEST(Launch, AnExceptionOfDeviceCodeIsAFault) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(
        fault_of([] { launch<throwing_kernel>(4, 64, 0, nullptr); }),
        AllOf(HasSubstr("throwing_kernel, block ("), HasSubstr("thread (5, 0, 0)"), HasSubstr("table is empty")));
  }
}

TEST(Launch, AFaultIsThrownOnceAndDropsTheWorkBehindIt) {
  const DeviceArray<int> out(counting(32));
  launch<throwing_kernel>(1, 64, 0, nullptr);
  launch<typed_kernel<7, int>>(1, 32, 0, nullptr, out.data());
  EXPECT_THROW(cudaStreamSynchronize(nullptr), Fault);
  EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
  EXPECT_EQ(out.host(), counting(32));
}

__global__ void late_throw_kernel() {
  __syncthreads();
  if (threadIdx.x == 5) throw std::runtime_error("table is empty");
  __syncthreads();
}

TEST(Launch, WorksAfterManyFaultsThatLeftThreadsInTheMiddle) {
  for (int i = 0; i < (esmm::test::kSanitized ? 10 : 40); ++i)
    EXPECT_NE(fault_of([] { launch<late_throw_kernel>(2, 1024, 0, nullptr); }), "");
  const DeviceArray<int> out(32);
  launch<typed_kernel<7, int>>(1, 32, 0, nullptr, out.data());
  EXPECT_EQ(out.host(), std::vector<int>(32, 7));
}

__global__ void both_kinds_kernel(int* out) {
  out[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (threadIdx.x < 64) return;
  __syncthreads();
  out[threadIdx.x] += 1;
}

TEST(Launch, RunsOnWhicheverThreadOfTheHostSynchronises) {
  for (int i = 0; i < 20; ++i) {
    const DeviceArray<int> out(128);
    const auto run = [&] {
      launch<both_kinds_kernel>(1, 128, 0, nullptr, out.data());
      cudaDeviceSynchronize();
    };
    if (i % 2 == 0) {
      run();
    } else {
      std::thread(run).join();
    }
    EXPECT_EQ(out.host()[63], 63);
    EXPECT_EQ(out.host()[64], 65);
  }
}

TEST(Launch, DeviceCodeMayNotCallTheHostsApi) {
  EXPECT_THAT(fault_of([] { launch<host_call_kernel>(1, 1, 0, nullptr); }), HasSubstr("runtime API"));
}

TEST(Launch, AStackThatOverflowsCrashes) {
  const DeviceArray<int> out(1);
  EXPECT_DEATH(fault_of([&] { launch<overflow_kernel>(1, 1, 0, nullptr, out.data()); }), "");
}

TEST(Atomics, CountForIntegersOnly) {
  const DeviceArray<unsigned> counters(std::vector<unsigned>(4, 0));
  launch("count", 3, 100, 0, nullptr, [data = counters.data()] {
    atomicAdd(&data[0], 2U);
    atomicMax(&data[1], threadIdx.x);
    atomicOr(&data[2], 1U << (threadIdx.x % 7));
    if (atomicCAS(&data[3], 0U, threadIdx.x + 1) == 0U) atomicExch(&data[3], 77U);
  });
  EXPECT_EQ(counters.host(), (std::vector<unsigned>{600, 99, 127, 77}));
  static_assert(requires(int* p) { atomicAdd(p, 1); });
  static_assert(requires(unsigned long long* p) { atomicMin(p, 1ULL); });
  static_assert([](auto* p) {
    return !requires {
      atomicAdd(p, 1.0F);
    };
  }(static_cast<float*>(nullptr)));
  static_assert([](auto* p) {
    return !requires {
      atomicAdd(p, 1.0);
    };
  }(static_cast<double*>(nullptr)));
}

TEST(Intrinsics, FollowTheirDefinitions) {
  EXPECT_EQ(__popc(0xF0F0U), 8);
  EXPECT_EQ(__ffs(8), 4);
  EXPECT_EQ(__clz(1), 31);
  EXPECT_EQ(__brev(1U), 0x80000000U);
  EXPECT_EQ(__umulhi(0x80000000U, 6U), 3U);
  EXPECT_EQ(__float_as_uint(1.0F), 0x3F800000U);
  EXPECT_EQ(__saturatef(-2.0F) + __saturatef(0.5F) + __saturatef(7.0F), 1.5F);
  EXPECT_EQ(max(2, 3U) + min(1, 2), 4U);
  EXPECT_EQ(min(NAN, 1.0F), 1.0F);
  EXPECT_NEAR(__expf(1.0F), 2.7182817F, 1e-6F);
}

}  // namespace
}  // namespace simt::test
