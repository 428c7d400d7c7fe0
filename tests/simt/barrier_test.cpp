#include "tests/simt/device_array.hpp"

namespace simt::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

__global__ void reverse_kernel(const int* in, int* out) {
  int* shared = static_cast<int*>(shared_memory());
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  shared[threadIdx.x] = in[i];
  __syncthreads();
  out[i] = shared[blockDim.x - 1 - threadIdx.x];
}

__global__ void reverse_without_barrier_kernel(const int* in, int* out) {
  int* shared = static_cast<int*>(shared_memory());
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  shared[threadIdx.x] = in[i];
  out[i] = shared[blockDim.x - 1 - threadIdx.x];
}

std::vector<int> reversed_in_blocks(int blocks, int threads) {
  std::vector<int> result = counting(blocks * threads);
  for (auto block = result.begin(); block != result.end(); block += threads) std::reverse(block, block + threads);
  return result;
}

class Threads : public ::testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Barrier, Threads, ::testing::Values(1U, 31U, 32U, 33U, 256U, 1000U, 1024U));

TEST_P(Threads, BarrierOrdersWritesBeforeReadsInEverySchedule) {
  const auto threads = GetParam();
  const DeviceArray<int> in(counting(3 * static_cast<int>(threads))), out(3 * threads);
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    set_schedule(seed);
    ASSERT_EQ(launch<reverse_kernel>(3, threads, threads * 4, nullptr, in.data(), out.data()), cudaSuccess);
    ASSERT_EQ(out.host(), reversed_in_blocks(3, static_cast<int>(threads))) << "seed " << seed;
  }
}

TEST(Barrier, WithoutItTheResultIsWrong) {
  const DeviceArray<int> in(counting(256)), out(256);
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    set_schedule(seed);
    launch<reverse_without_barrier_kernel>(1, 256, 1024, nullptr, in.data(), out.data());
    EXPECT_NE(out.host(), reversed_in_blocks(1, 256)) << "seed " << seed;
  }
}

// Each warp sums through shared memory, then the block's sums are combined; the second round reuses the shared memory.
template <bool with_last_barrier>
__global__ void two_sums_kernel(const int* in, int* out) {
  int* shared = static_cast<int*>(shared_memory());
  const unsigned warp = threadIdx.x / 32, warps = blockDim.x / 32;
  for (unsigned round = 0; round < 2; ++round) {
    int sum = in[round * blockDim.x + threadIdx.x];
    for (int delta = 16; delta > 0; delta /= 2) sum += __shfl_down_sync(0xFFFFFFFFU, sum, static_cast<unsigned>(delta));
    if (threadIdx.x % 32 == 0) shared[warp] = sum;
    __syncthreads();
    int total = 0;
    for (unsigned w = 0; w < warps; ++w) total += shared[w];
    total = __shfl_sync(0xFFFFFFFFU, total, 0);
    if (threadIdx.x % 32 == 0) out[round * warps + warp] = total;
    if (with_last_barrier) __syncthreads();
  }
}

template <bool with_last_barrier>
bool two_sums_are_right(std::uint64_t seed) {
  set_schedule(seed);
  const std::vector<int> numbers = counting(256);
  const DeviceArray<int> in(numbers), out(8);
  launch<two_sums_kernel<with_last_barrier>>(1, 128, 16, nullptr, in.data(), out.data());
  const int first = 127 * 64, second = 255 * 128 - first;
  return out.host() == std::vector<int>{first, first, first, first, second, second, second, second};
}

TEST(Barrier, OneMissingBeforeReuseIsFoundWithinFewSeeds) {
  int found = 0;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    ASSERT_TRUE(two_sums_are_right<true>(seed)) << seed;
    if (!two_sums_are_right<false>(seed)) ++found;
  }
  EXPECT_GE(found, 2);
}

__global__ void votes_kernel(int* out) {
  const int t = static_cast<int>(threadIdx.x);
  const int odd = __syncthreads_count(t % 2);
  const int all = __syncthreads_and(t < 100), not_all = __syncthreads_and(t < 99);
  const int any = __syncthreads_or(t == 3), none = __syncthreads_or(t == 100);
  out[t] = odd * 10000 + all * 1000 + not_all * 100 + any * 10 + none;
}

TEST(Barrier, CountsAndVotes) {
  const DeviceArray<int> out(100);
  launch<votes_kernel>(1, 100, 0, nullptr, out.data());
  EXPECT_EQ(out.host(), std::vector<int>(100, 50 * 10000 + 1010));
}

__global__ void early_return_kernel(int* out, unsigned kept) {
  int* shared = static_cast<int*>(shared_memory());
  if (threadIdx.x >= kept) return;
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncthreads();
  out[threadIdx.x] = shared[kept - 1 - threadIdx.x];
}

TEST(Barrier, ThreadsThatHaveReturnedLeaveIt) {
  const DeviceArray<int> out(70);
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    set_schedule(seed);
    launch<early_return_kernel>(1, 128, 280, nullptr, out.data(), 70U);
    EXPECT_EQ(out.host(), reversed_in_blocks(1, 70));
  }
}

__global__ void divergent_kernel() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

TEST(Barrier, ReachedAtTwoPlacesIsAFaultThatNamesBoth) {
  const std::string fault = fault_of([] { launch<divergent_kernel>(1, 64, 0, nullptr); });
  const int line = __LINE__ - 8;  // of the first barrier
  EXPECT_THAT(fault, AllOf(HasSubstr("divergent_kernel, block (0, 0, 0), thread ("), HasSubstr("divergent barrier"),
                           HasSubstr("barrier_test.cpp:" + std::to_string(line)),
                           HasSubstr("barrier_test.cpp:" + std::to_string(line + 2))));
}

__global__ void barrier_in_one_lane_kernel() {
  if (threadIdx.x == 0) __syncthreads();
  __syncwarp();
}

TEST(Barrier, WaitingForALaneThatIsInAWarpOperationIsAFault) {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    set_schedule(seed);
    EXPECT_THAT(fault_of([] { launch<barrier_in_one_lane_kernel>(1, 32, 0, nullptr); }), HasSubstr("__syncthreads"));
  }
}

__global__ void deadlock_kernel() {
  if (threadIdx.x < 3) __syncwarp(1U << threadIdx.x | 1U << (threadIdx.x + 1) % 3);  // 0 waits for 1 for 2 for 0
}

TEST(Barrier, ADeadlockTellsWhoWaitsWhere) {
  EXPECT_THAT(fault_of([] { launch<deadlock_kernel>(1, 64, 0, nullptr); }),
              AllOf(HasSubstr("deadlock"), HasSubstr("thread (0, 0, 0) to (2, 0, 0) in a warp operation"),
                    HasSubstr("barrier_test.cpp")));
}

}  // namespace
}  // namespace simt::test
