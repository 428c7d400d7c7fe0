#include <cuda_pipeline.h>
#include <mma.h>

#include <cstring>

#include "tests/simt/device_array.hpp"

// This file is compiled with -fsanitize=thread, so that the race detector sees its kernels' accesses.
namespace simt::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

template <class T>
T* shared_as() {
  return static_cast<T*>(shared_memory());
}

std::string line(int number) {
  return "race_detector_test.cpp:" + std::to_string(number);
}

// ---- Inside a block ------------------------------------------------------------------------------------------------

template <bool first, bool second>
__global__ void reverse_twice_kernel(const int* in, int* out) {
  int* shared = shared_as<int>();
  shared[threadIdx.x] = in[threadIdx.x];
  if (first) __syncthreads();
  const int reversed = shared[blockDim.x - 1 - threadIdx.x];
  if (second) __syncthreads();
  shared[threadIdx.x] = reversed;
  __syncthreads();
  out[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

template <bool first, bool second>
std::string reverse_twice(unsigned threads, std::uint64_t seed) {
  const DeviceArray<int> in(counting(static_cast<int>(threads))), out(threads);
  set_schedule(seed);
  return fault_of(
      [&] { launch<reverse_twice_kernel<first, second>>(1, threads, threads * 4, nullptr, in.data(), out.data()); });
}

TEST(RaceDetector, FindsEveryMissingBarrierInOneRunOfAnySchedule) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    EXPECT_EQ((reverse_twice<true, true>(256, seed)), "");
    EXPECT_THAT((reverse_twice<true, false>(256, seed)), HasSubstr("race on shared memory"));
    EXPECT_NE((reverse_twice<false, true>(256, seed)), "");  // a race, or bytes that nobody has written yet
    EXPECT_EQ((reverse_twice<true, true>(33, seed)), "");
    EXPECT_THAT((reverse_twice<true, false>(32, seed)), HasSubstr("race on shared memory"));
  }
}

__global__ void same_place_kernel(int* out) {
  out[threadIdx.x / 2] = static_cast<int>(threadIdx.x);
}

TEST(RaceDetector, NamesBothAccesses) {
  const int place = __LINE__ - 4;
  const DeviceArray<int> out(32);
  EXPECT_THAT(
      fault_of([&] { launch<same_place_kernel>(1, 64, 0, nullptr, out.data()); }),
      AllOf(HasSubstr("same_place_kernel, block (0, 0, 0), thread ("), HasSubstr("race on device allocation"),
            HasSubstr("of 128 bytes, offset "), HasSubstr("write at " + line(place) + ", and write at " + line(place)),
            HasSubstr("of this block")));
}

// ---- Inside a warp -------------------------------------------------------------------------------------------------

enum class Order { none, syncwarp, shuffle, halves };
template <Order order>
__global__ void neighbours_kernel(int* out, unsigned partner) {
  int* shared = shared_as<int>();
  const unsigned lane = threadIdx.x % 32;
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (order == Order::syncwarp) __syncwarp();
  if (order == Order::shuffle) (void)__shfl_sync(0xFFFFFFFFU, 1, 0);
  if (order == Order::halves) {
    if (lane < 16) {
      __syncwarp(0xFFFFU);
    } else {
      __syncwarp(0xFFFF0000U);
    }
  }
  out[threadIdx.x] = shared[threadIdx.x ^ partner];
}
template <Order order>
std::string neighbours(unsigned partner) {
  const DeviceArray<int> out(64);
  return fault_of([&] { launch<neighbours_kernel<order>>(1, 64, 256, nullptr, out.data(), partner); });
}

TEST(RaceDetector, TakesSyncwarpAsOrderAmongTheLanesItNamesOnly) {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    set_schedule(seed);
    EXPECT_EQ(neighbours<Order::syncwarp>(1), "");
    EXPECT_NE(neighbours<Order::syncwarp>(32), "");
    EXPECT_EQ(neighbours<Order::halves>(8), "");
    EXPECT_NE(neighbours<Order::halves>(16), "");
    EXPECT_NE(neighbours<Order::none>(1), "");
  }
}

TEST(RaceDetector, DoesNotTakeAShuffleAsOrderOfMemory) {
  EXPECT_THAT(neighbours<Order::shuffle>(1), HasSubstr("race on shared memory"));
}

__global__ void chain_kernel(int* out) {
  int* shared = shared_as<int>();
  if (threadIdx.x == 0) shared[0] = 5;
  if (threadIdx.x < 2) __syncwarp(0x3U);
  if (threadIdx.x == 1 || threadIdx.x == 2) __syncwarp(0x6U);
  if (threadIdx.x == 2) out[0] = shared[0];
}

TEST(RaceDetector, KnowsThatOrderIsTransitive) {
  const DeviceArray<int> out(1);
  EXPECT_EQ(fault_of([&] { launch<chain_kernel>(1, 32, 4, nullptr, out.data()); }), "");
}

__global__ void many_readers_kernel(int* out, bool barrier) {
  int* shared = shared_as<int>();
  if (threadIdx.x == 0) shared[0] = 1;
  __syncthreads();
  out[threadIdx.x] = shared[0];
  if (barrier) __syncthreads();
  if (threadIdx.x == 40) shared[0] = 2;
}

TEST(RaceDetector, RemembersReadersThatOthersFollowed) {
  const DeviceArray<int> out(64);
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    set_schedule(seed);
    EXPECT_EQ(fault_of([&] { launch<many_readers_kernel>(1, 64, 4, nullptr, out.data(), true); }), "");
    EXPECT_THAT(fault_of([&] { launch<many_readers_kernel>(1, 64, 4, nullptr, out.data(), false); }),
                HasSubstr("race"));
  }
}

// ---- Between blocks ------------------------------------------------------------------------------------------------

__global__ void next_block_kernel(const int* in, int* out, unsigned distance) {
  out[blockIdx.x] = in[(blockIdx.x + distance) % gridDim.x];
}

TEST(RaceDetector, FindsWhatOneBlockReadsAndAnotherWrites) {
  const DeviceArray<int> data(counting(8)), other(8);
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    set_schedule(seed);
    const auto run = [&](const DeviceArray<int>& to, unsigned distance) {
      return fault_of([&] { launch<next_block_kernel>(8, 1, 0, nullptr, data.data(), to.data(), distance); });
    };
    EXPECT_EQ(run(other, 1), "");
    EXPECT_EQ(run(data, 0), "");
    EXPECT_THAT(run(data, 1), AllOf(HasSubstr("race on device allocation"), HasSubstr("of block (")));
  }
}

__global__ void read_all_kernel(const int* in, int* out) {
  int sum = 0;
  for (int i = 0; i < 8; ++i) sum += in[i];
  out[blockIdx.x] = sum;
}

TEST(RaceDetector, TakesKernelsOfOneStreamAsOrdered) {
  const DeviceArray<int> data(counting(8)), sums(8);
  for (int i = 0; i < 3; ++i) {
    launch<read_all_kernel>(8, 1, 0, nullptr, data.data(), sums.data());
    launch<next_block_kernel>(8, 1, 0, nullptr, sums.data(), data.data(), 1U);
  }
  EXPECT_EQ(fault_of([] {}), "");
}

__global__ void histogram_kernel(unsigned* bins, bool read_too) {
  atomicAdd(&bins[threadIdx.x % 4], 1U);
  if (read_too && threadIdx.x == 5) bins[4] = bins[1];
}

TEST(RaceDetector, LetsAtomicsMeetAtomicsButNothingElse) {
  const DeviceArray<unsigned> bins(std::vector<unsigned>(8, 0));
  EXPECT_EQ(fault_of([&] { launch<histogram_kernel>(4, 64, 0, nullptr, bins.data(), false); }), "");
  EXPECT_EQ(bins.host()[3], 64U);
  EXPECT_THAT(fault_of([&] { launch<histogram_kernel>(1, 64, 0, nullptr, bins.data(), true); }),
              AllOf(HasSubstr("race"), HasSubstr("atomic at race_detector_test.cpp:")));
}

// ---- Small elements ------------------------------------------------------------------------------------------------

__global__ void bytes_kernel(unsigned char* bytes, __nv_bfloat16* halves, unsigned stride) {
  bytes[threadIdx.x] = 1;
  halves[threadIdx.x * stride / 2] = __float2bfloat16(1.0F);
}

TEST(RaceDetector, TellsNeighbouringBytesApart) {
  const DeviceArray<unsigned char> bytes(100);
  const DeviceArray<__nv_bfloat16> halves(100);
  EXPECT_EQ(fault_of([&] { launch<bytes_kernel>(1, 100, 0, nullptr, bytes.data(), halves.data(), 2U); }), "");
  EXPECT_THAT(fault_of([&] { launch<bytes_kernel>(1, 100, 0, nullptr, bytes.data(), halves.data(), 1U); }),
              HasSubstr("race"));
  EXPECT_EQ(fault_of([&] { launch<bytes_kernel>(1, 100, 0, nullptr, bytes.data(), halves.data(), 2U); }), "");
}

__global__ void mixed_sizes_kernel(float4* wide, bool disjoint) {
  if (threadIdx.x == 0) wide[0] = make_float4(1, 2, 3, 4);
  if (threadIdx.x == 40) reinterpret_cast<unsigned char*>(wide)[disjoint ? 16 : 13] = 7;
}

TEST(RaceDetector, ComparesAccessesOfDifferentSizes) {
  const DeviceArray<float4> wide(2);
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    set_schedule(seed);
    EXPECT_EQ(fault_of([&] { launch<mixed_sizes_kernel>(1, 64, 0, nullptr, wide.data(), true); }), "");
    EXPECT_THAT(fault_of([&] { launch<mixed_sizes_kernel>(1, 64, 0, nullptr, wide.data(), false); }),
                HasSubstr("race"));
  }
}

// ---- Bounds, initialisation, the host's memory ---------------------------------------------------------------------

__global__ void copy_kernel(const float* in, float* out, int offset) {
  out[threadIdx.x] = in[static_cast<int>(threadIdx.x) + offset];
}

TEST(RaceDetector, FindsReadsOutsideOfAnAllocation) {
  const int place = __LINE__ - 4;
  const DeviceArray<float> in(std::vector<float>(32, 1.0F)), out(32);
  EXPECT_EQ(fault_of([&] { launch<copy_kernel>(1, 32, 0, nullptr, in.data(), out.data(), 0); }), "");
  for (const int offset : {1, -1, 100, -30}) {
    EXPECT_THAT(fault_of([&] { launch<copy_kernel>(1, 32, 0, nullptr, in.data(), out.data(), offset); }),
                AllOf(HasSubstr("out of bounds: read at " + line(place)), HasSubstr("device")));
  }
  // So far in front of the first allocation that it is no device memory at all.
  EXPECT_NE(fault_of([&] { launch<copy_kernel>(1, 32, 0, nullptr, in.data(), out.data(), -1000); }), "");
}

TEST(RaceDetector, FindsUseAfterFree) {
  const DeviceArray<float> out(32);
  float* freed = nullptr;
  cudaMalloc(&freed, 128);
  cudaMemset(freed, 0, 128);
  cudaFree(freed);
  EXPECT_THAT(fault_of([&] { launch<copy_kernel>(1, 32, 0, nullptr, freed, out.data(), 0); }),
              HasSubstr("out of bounds"));
}

TEST(RaceDetector, FindsReadsOfDeviceMemoryThatNobodyWrote) {
  const DeviceArray<float> in(32), out(32), copied(32);
  const auto run = [&](const DeviceArray<float>& from) {
    return fault_of([&] { launch<copy_kernel>(1, 32, 0, nullptr, from.data(), out.data(), 0); });
  };
  EXPECT_THAT(run(in), HasSubstr("uninitialised: read at"));
  cudaMemcpyAsync(copied.data(), in.data(), 128, cudaMemcpyDeviceToDevice);
  EXPECT_THAT(run(copied), HasSubstr("uninitialised"));
  cudaMemsetAsync(in.data(), 0, 127);
  EXPECT_THAT(run(in), HasSubstr("offset 127"));
  cudaMemsetAsync(in.data(), 0, 128);
  EXPECT_EQ(run(in), "");
  cudaMemcpyAsync(copied.data(), in.data(), 128, cudaMemcpyDeviceToDevice);
  EXPECT_EQ(run(copied), "");
}

TEST(RaceDetector, KnowsWhatHostStandInsReadAndWrite) {
  const DeviceArray<float> in(32), out(32);
  const auto enqueue = [&] {
    enqueue_host("zero", nullptr, {{in.data(), 128}}, {{out.data(), 128}},
                 [to = out.data()] { std::fill_n(to, 32, 0.0F); });
  };
  EXPECT_THAT(fault_of(enqueue), HasSubstr("zero: uninitialised: read of device allocation"));
  cudaMemset(in.data(), 0, 128);
  enqueue();
  EXPECT_EQ(fault_of([&] { launch<copy_kernel>(1, 32, 0, nullptr, out.data(), in.data(), 0); }), "");
}

__global__ void shared_copy_kernel(float* out, int written, int read) {
  float* shared = shared_as<float>();
  if (threadIdx.x == 0) {
    for (int i = 0; i < written; ++i) shared[i] = 1.0F;
    for (int i = 0; i < read; ++i) out[0] = shared[i];
  }
}

TEST(RaceDetector, FindsStaleAndMisplacedAccessesToSharedMemory) {
  const DeviceArray<float> out(1);
  const auto run = [&](int written, int read) {
    return fault_of([&] { launch<shared_copy_kernel>(1, 32, 100, nullptr, out.data(), written, read); });
  };
  EXPECT_EQ(run(25, 25), "");
  EXPECT_THAT(run(24, 25), AllOf(HasSubstr("uninitialised"), HasSubstr("shared memory of 100 bytes, offset 96")))
      << "what an earlier block left there counts for nothing";
  EXPECT_THAT(run(26, 0), AllOf(HasSubstr("out of bounds: write"), HasSubstr("offset 100")));
  EXPECT_THAT(run(25, 26), HasSubstr("out of bounds: read"));
}

__global__ void pointer_kernel(const int* from, int* out) {
  out[threadIdx.x] = *from;
}
__global__ void foreign_stack_kernel(int* out, bool foreign) {
  int local = static_cast<int>(threadIdx.x);
  auto** shared = shared_as<int*>();
  shared[threadIdx.x] = &local;
  __syncthreads();
  out[threadIdx.x] = *shared[threadIdx.x ^ (foreign ? 1U : 0U)];
}

TEST(RaceDetector, FindsDeviceCodeThatTouchesTheHostsMemory) {
  const DeviceArray<int> out(32);
  const auto heap = std::make_unique<int>(3);
  const int stack = 4;
  static constexpr int kConstant = 5;
  int* pinned = nullptr;
  cudaMallocHost(&pinned, 4);
  *pinned = 6;
  const auto run = [&](const int* from) {
    return fault_of([&] { launch<pointer_kernel>(1, 32, 0, nullptr, from, out.data()); });
  };
  EXPECT_THAT(run(heap.get()), HasSubstr("touches memory of the host"));
  EXPECT_THAT(run(&stack), HasSubstr("touches memory of the host"));
  EXPECT_EQ(run(&kConstant), "");
  EXPECT_EQ(run(pinned), "");
  EXPECT_EQ(out.host(), std::vector<int>(32, 6));
  cudaFreeHost(pinned);
}

TEST(RaceDetector, FindsDeviceCodeThatTouchesAnotherThreadsStack) {
  const DeviceArray<int> out(32);
  EXPECT_EQ(fault_of([&] { launch<foreign_stack_kernel>(1, 32, 256, nullptr, out.data(), false); }), "");
  EXPECT_THAT(fault_of([&] { launch<foreign_stack_kernel>(1, 32, 256, nullptr, out.data(), true); }),
              HasSubstr("another thread's stack"));
}

__global__ void memcpy_kernel(const char* in, char* out, std::size_t bytes) {
  std::memcpy(out + threadIdx.x * 64, in, bytes);
}

TEST(RaceDetector, SeesBlockCopies) {
  const DeviceArray<int> in(counting(32)), out(32);
  const auto run = [&](std::size_t bytes) {
    return fault_of([&] {
      launch<memcpy_kernel>(1, 2, 0, nullptr, reinterpret_cast<const char*>(in.data()),
                            reinterpret_cast<char*>(out.data()), bytes);
    });
  };
  EXPECT_EQ(run(64), "");
  EXPECT_THAT(run(65), HasSubstr("race"));
  EXPECT_THAT(run(129), HasSubstr("out of bounds"));
}

// ---- Matrix products and asynchronous copies -----------------------------------------------------------------------

__global__ void product_kernel(const __nv_bfloat16* in, float* out, bool synchronise_loads, bool synchronise_store) {
  using namespace nvcuda;
  auto* shared = shared_as<__nv_bfloat16>();
  auto* product = reinterpret_cast<float*>(shared + 256);
  for (unsigned i = threadIdx.x; i < 256; i += 32) shared[i] = in[i];
  if (synchronise_loads) __syncwarp();
  wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, wmma::row_major> a;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, __nv_bfloat16, wmma::col_major> b;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> c;
  wmma::fill_fragment(c, 0.0F);
  wmma::load_matrix_sync(a, shared, 16);
  wmma::load_matrix_sync(b, shared, 16);
  wmma::mma_sync(c, a, b, c);
  wmma::store_matrix_sync(product, c, 16, wmma::mem_row_major);
  if (synchronise_store) __syncwarp();
  for (unsigned i = threadIdx.x; i < 256; i += 32) out[i] = product[i];
}

TEST(RaceDetector, WantsSyncwarpAroundMatrixLoadsAndStores) {
  const DeviceArray<__nv_bfloat16> in(std::vector<__nv_bfloat16>(256, 1.0F));
  const DeviceArray<float> out(256);
  const auto run = [&](bool loads, bool store) {
    return fault_of([&] { launch<product_kernel>(1, 32, 512 + 1024, nullptr, in.data(), out.data(), loads, store); });
  };
  EXPECT_EQ(run(true, true), "");
  EXPECT_NE(run(false, true), "");
  EXPECT_NE(run(true, false), "");
}

__global__ void staged_kernel(const int* in, int* out, bool barrier) {
  int* shared = shared_as<int>();
  __pipeline_memcpy_async(&shared[threadIdx.x], &in[threadIdx.x], 4);
  __pipeline_commit();
  __pipeline_wait_prior(0);
  if (barrier) __syncthreads();
  out[threadIdx.x] = shared[threadIdx.x ^ 1U];
}

TEST(RaceDetector, KnowsThatAnAsynchronousCopyArrivesForItsOwnThreadOnly) {
  const DeviceArray<int> in(counting(64)), out(64);
  EXPECT_EQ(fault_of([&] { launch<staged_kernel>(1, 64, 256, nullptr, in.data(), out.data(), true); }), "");
  EXPECT_NE(fault_of([&] { launch<staged_kernel>(1, 64, 256, nullptr, in.data(), out.data(), false); }), "");
}

}  // namespace
}  // namespace simt::test
