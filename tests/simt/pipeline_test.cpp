#include <cuda_pipeline.h>

#include "tests/simt/device_array.hpp"

namespace simt::test {
namespace {

using ::testing::HasSubstr;

/// Copies 16 bytes per thread through shared memory, in two batches.
template <int waited_batches, bool wait>
__global__ void copy_kernel(const int4* in, int4* out) {
  int4* shared = static_cast<int4*>(shared_memory());
  const unsigned t = threadIdx.x;
  __pipeline_memcpy_async(&shared[t], &in[t], 16);
  __pipeline_commit();
  __pipeline_memcpy_async(&shared[blockDim.x + t], &in[blockDim.x + t], 16, 4);
  __pipeline_commit();
  if (wait) __pipeline_wait_prior(2 - waited_batches);
  for (unsigned half = 0; half < 2; ++half) out[half * blockDim.x + t] = shared[half * blockDim.x + t];
  if (wait) __pipeline_wait_prior(0);
}

TEST(AsynchronousCopy, ArrivesWithTheWaitAndFillsWithZeros) {
  const DeviceArray<int> in(counting(256)), out(256);
  const auto run = [&] {
    launch<copy_kernel<2, true>>(1, 32, 1024, nullptr, reinterpret_cast<const int4*>(in.data()),
                                 reinterpret_cast<int4*>(out.data()));
  };
  EXPECT_EQ(fault_of(run), "");
  std::vector<int> expected = counting(256);
  for (std::size_t i = 128 + 3; i < 256; i += 4) expected[i] = 0;
  EXPECT_EQ(out.host(), expected);
}

TEST(AsynchronousCopy, OfALaterBatchHasNotArrived) {
  const DeviceArray<int> in(counting(256)), out(256);
  launch<copy_kernel<1, true>>(1, 32, 1024, nullptr, reinterpret_cast<const int4*>(in.data()),
                               reinterpret_cast<int4*>(out.data()));
  std::vector<int> expected = counting(256);
  std::fill(expected.begin() + 128, expected.end(), -1);
  EXPECT_EQ(out.host(), expected);
}

TEST(AsynchronousCopy, NeverWaitedForIsAFault) {
  const DeviceArray<int> in(counting(256)), out(256);
  EXPECT_THAT(fault_of([&] {
                launch<copy_kernel<0, false>>(1, 32, 1024, nullptr, reinterpret_cast<const int4*>(in.data()),
                                              reinterpret_cast<int4*>(out.data()));
              }),
              HasSubstr("returned while an asynchronous copy of pipeline_test.cpp:15 was pending"));
}

__global__ void one_copy_kernel(const char* in, int to, int from, int bytes) {
  __pipeline_memcpy_async(static_cast<char*>(shared_memory()) + to, in + from, static_cast<std::size_t>(bytes));
  __pipeline_commit();
  __pipeline_wait_prior(0);
}

TEST(AsynchronousCopy, MisalignedMisplacedOrOfAnOddSizeIsAFault) {
  const DeviceArray<int> in(counting(16));
  const auto fault = [&](int to, int from, int bytes) {
    return fault_of(
        [&] { launch<one_copy_kernel>(1, 1, 64, nullptr, reinterpret_cast<const char*>(in.data()), to, from, bytes); });
  };
  EXPECT_EQ(fault(4, 8, 4), "");
  EXPECT_THAT(fault(4, 8, 8), HasSubstr("misaligned destination"));
  EXPECT_THAT(fault(8, 4, 8), HasSubstr("misaligned source"));
  EXPECT_THAT(fault(0, 0, 12), HasSubstr("not of 4, 8 or 16 bytes"));
  EXPECT_THAT(fault(64, 0, 4), HasSubstr("does not go to shared memory"));
  EXPECT_THAT(fault(0, 64, 4), HasSubstr("does not come from device memory"));
}

__global__ void overwritten_kernel(const int* in, bool early) {
  int* shared = static_cast<int*>(shared_memory());
  __pipeline_memcpy_async(shared, in, 4);
  __pipeline_commit();
  if (early) shared[0] = 1;
  __pipeline_wait_prior(0);
  shared[0] = 2;
}

TEST(AsynchronousCopy, IntoMemoryThatIsWrittenMeanwhileIsAFault) {
  const DeviceArray<int> in(counting(1));
  EXPECT_EQ(fault_of([&] { launch<overwritten_kernel>(1, 1, 4, nullptr, in.data(), false); }), "");
  EXPECT_THAT(fault_of([&] { launch<overwritten_kernel>(1, 1, 4, nullptr, in.data(), true); }),
              HasSubstr("was written before it arrived"));
}

}  // namespace
}  // namespace simt::test
