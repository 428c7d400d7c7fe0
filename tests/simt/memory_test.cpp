#include <cstring>

#include "tests/simt/device_array.hpp"
#include "tests/simt/sanitizers.hpp"

namespace simt::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

__global__ void fill_kernel(float* out, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) out[i] = static_cast<float>(i);
}
__global__ void fill_shared_kernel(int count) {
  if (static_cast<int>(threadIdx.x) < count) static_cast<float*>(shared_memory())[threadIdx.x] = 1.0F;
}
__global__ void read_kernel(const float* in, float* out) {
  out[threadIdx.x] = in[threadIdx.x];
}
__global__ void read_shared_kernel(float* out) {
  out[threadIdx.x] = static_cast<const float*>(shared_memory())[threadIdx.x];
}

TEST(DeviceMemory, AWriteJustPastTheEndIsCaught) {
  const DeviceArray<float> out(101);
  EXPECT_EQ(fault_of([&] { launch<fill_kernel>(1, 128, 0, nullptr, out.data(), 101); }), "");
  if (kAddressSanitizer) {
    EXPECT_DEATH(fault_of([&] { launch<fill_kernel>(1, 128, 0, nullptr, out.data(), 102); }), "use-after-poison");
  } else {
    EXPECT_THAT(fault_of([&] { launch<fill_kernel>(1, 128, 0, nullptr, out.data(), 102); }),
                AllOf(HasSubstr("fill_kernel: wrote past device allocation"), HasSubstr("of 404 bytes")));
  }
}

TEST(SharedMemory, AWriteJustPastTheEndIsCaught) {
  EXPECT_EQ(fault_of([&] { launch<fill_shared_kernel>(2, 128, 404, nullptr, 101); }), "");
  if (kAddressSanitizer) {
    EXPECT_DEATH(fault_of([&] { launch<fill_shared_kernel>(2, 128, 404, nullptr, 102); }), "heap-buffer-overflow");
  } else {
    EXPECT_THAT(fault_of([&] { launch<fill_shared_kernel>(2, 128, 404, nullptr, 102); }),
                HasSubstr("wrote past the end of the shared memory"));
  }
}

__global__ void vector_kernel(float* data, int offset) {
  *reinterpret_cast<float4*>(data + offset) = make_float4(1, 2, 3, 4);
}

TEST(DeviceMemory, AMisalignedVectorIsCaughtByUndefinedBehaviorSanitizer) {
  const DeviceArray<float> data(32);
  EXPECT_EQ(fault_of([&] { launch<vector_kernel>(1, 1, 0, nullptr, data.data(), 4); }), "");
  if (kAddressSanitizer) {
    EXPECT_DEATH(fault_of([&] { launch<vector_kernel>(1, 1, 0, nullptr, data.data(), 2); }), "misaligned address");
  }
}

TEST(SharedMemory, WithoutItAskingForItIsAFault) {
  EXPECT_THAT(fault_of([&] { launch<fill_shared_kernel>(1, 1, 0, nullptr, 1); }),
              HasSubstr("was launched with 0 bytes of it"));
}

TEST(SharedMemory, IsAlignedAndHoldsNoNumbersWhenABlockStarts) {
  const DeviceArray<float> out(64);
  launch<fill_shared_kernel>(1, 64, 256, nullptr, 64);
  launch<read_shared_kernel>(1, 64, 256, nullptr, out.data());
  for (const float value : out.host()) EXPECT_TRUE(std::isnan(value));
}

TEST(DeviceMemory, HoldsNoNumbersWhenNew) {
  for (const float value : DeviceArray<float>(64).host()) EXPECT_TRUE(std::isnan(value));
}

TEST(DeviceMemory, CrashesTheHostThatTouchesIt) {
  const DeviceArray<int> numbers(counting(4));
  cudaDeviceSynchronize();
  EXPECT_DEATH(numbers.data()[1] = 7, "");
  EXPECT_DEATH(std::exit(numbers.data()[1] - 1), "");
  EXPECT_EQ(numbers.host(), counting(4));
}

TEST(DeviceMemory, ACopyThatLeavesItsAllocationIsAFault) {
  const DeviceArray<int> numbers(counting(4));
  std::vector<int> host(8);
  EXPECT_THAT(fault_of([&] { cudaMemcpy(host.data(), numbers.data(), 20, cudaMemcpyDeviceToHost); }),
              AllOf(HasSubstr("the source of a copy of 20 bytes leaves its allocation"), HasSubstr("of 16 bytes")));
  EXPECT_THAT(fault_of([&] { cudaMemsetAsync(numbers.data() + 1, 0, 16); }), HasSubstr("a memset of 16 bytes"));
}

TEST(DeviceMemory, IsReleasedOnlyAfterTheWorkThatWasEnqueued) {
  float *in, *out, host[32];
  cudaMalloc(&in, 128);
  cudaMalloc(&out, 128);
  cudaStream_t stream;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  launch<fill_kernel>(1, 32, 0, stream, in, 32);
  launch<read_kernel>(1, 32, 0, stream, in, out);
  EXPECT_EQ(cudaFree(in), cudaSuccess);
  EXPECT_EQ(cudaFree(in), cudaErrorInvalidValue) << "freed twice";
  EXPECT_EQ(cudaMemcpyAsync(host, out, 128, cudaMemcpyDeviceToHost, stream), cudaSuccess);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(host[i], static_cast<float>(i));
  EXPECT_EQ(cudaFree(out), cudaSuccess);
  cudaStreamDestroy(stream);
}

TEST(DeviceMemory, IsLimited) {
  set_device_memory(1 << 20);
  std::size_t free = 0, total = 0;
  void *first, *second, *third;
  EXPECT_EQ(cudaMalloc(&first, 700000), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&second, 700000), cudaErrorMemoryAllocation);
  EXPECT_EQ(second, nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  cudaMemGetInfo(&free, &total);
  EXPECT_EQ(total, 1U << 20);
  EXPECT_LE(free, total - 700000);
  cudaFree(first);
  EXPECT_EQ(cudaMalloc(&third, 700000), cudaSuccess);
  cudaFree(third);
  set_device_memory(std::size_t{8} << 30);
}

TEST(DeviceMemory, CopiesRowsBetweenPitches) {
  std::vector<int> host = counting(12), back(12, -1);
  const DeviceArray<int> pitched(4 * 5);
  cudaMemsetAsync(pitched.data(), 0, pitched.bytes());
  ASSERT_EQ(cudaMemcpy2DAsync(pitched.data(), 20, host.data(), 12, 12, 4, cudaMemcpyHostToDevice, nullptr),
            cudaSuccess);
  std::fill(host.begin(), host.end(), -2);  // pageable memory has been read by now
  ASSERT_EQ(cudaMemcpy2DAsync(back.data(), 12, pitched.data(), 20, 12, 4, cudaMemcpyDeviceToHost, nullptr),
            cudaSuccess);
  EXPECT_EQ(back, counting(12)) << "a copy to pageable memory returns when it is done";
  EXPECT_EQ(pitched.host()[18], 0);
}

TEST(DeviceMemory, CopiesInAWrongDirectionAreErrors) {
  const DeviceArray<int> numbers(counting(4));
  std::vector<int> host(4);
  EXPECT_EQ(cudaMemcpy(host.data(), numbers.data(), 16, cudaMemcpyHostToDevice), cudaErrorInvalidMemcpyDirection);
  EXPECT_EQ(cudaMemcpy(numbers.data(), host.data(), 16, cudaMemcpyDeviceToHost), cudaErrorInvalidMemcpyDirection);
  EXPECT_STREQ(cudaGetErrorString(cudaGetLastError()), "invalid copy direction for memcpy");
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(host.data(), numbers.data(), 16, cudaMemcpyDefault), cudaSuccess);
  EXPECT_EQ(host, counting(4));
}

class Pinned {
 public:
  explicit Pinned(int count) { EXPECT_EQ(cudaMallocHost(&data, static_cast<std::size_t>(count) * 4), cudaSuccess); }
  ~Pinned() { cudaFreeHost(data); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  int* data = nullptr;
};

TEST(PinnedMemory, ReusedBeforeItsCopyRanIsAFault) {
  const Pinned pinned(4);
  const DeviceArray<int> numbers(4);
  std::memcpy(pinned.data, counting(4).data(), 16);
  EXPECT_THAT(fault_of([&] {
                cudaMemcpyAsync(numbers.data(), pinned.data, 16, cudaMemcpyHostToDevice);
                pinned.data[3] = 7;
              }),
              HasSubstr("pinned buffer reused too early"));
}

TEST(PinnedMemory, ReusedAfterAnEventBehindTheCopyIsFine) {
  const Pinned pinned(4);
  const DeviceArray<int> numbers(4);
  std::memcpy(pinned.data, counting(4).data(), 16);
  cudaEvent_t copied;
  cudaEventCreateWithFlags(&copied, cudaEventDisableTiming);
  EXPECT_EQ(fault_of([&] {
              cudaMemcpyAsync(numbers.data(), pinned.data, 16, cudaMemcpyHostToDevice);
              cudaEventRecord(copied, nullptr);
              cudaEventSynchronize(copied);
              pinned.data[3] = 7;
            }),
            "");
  EXPECT_EQ(numbers.host(), counting(4));
  cudaEventDestroy(copied);
}

TEST(PinnedMemory, IsWrittenLateByACopyFromTheDevice) {
  const Pinned pinned(4);
  std::memset(pinned.data, 0, 16);
  const DeviceArray<int> numbers(counting(4));
  cudaMemcpyAsync(pinned.data, numbers.data(), 16, cudaMemcpyDeviceToHost);
  EXPECT_EQ(pinned.data[3], 0);
  cudaDeviceSynchronize();
  EXPECT_EQ(pinned.data[3], 3);
}

}  // namespace
}  // namespace simt::test
