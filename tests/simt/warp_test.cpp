#include <numeric>

#include "tests/simt/device_array.hpp"

namespace simt::test {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr unsigned kAll = 0xFFFFFFFFU;

/// Runs one warp of `lanes` lanes whose results are what body(lane) returns.
template <auto body>
__global__ void per_lane_kernel(long long* out) {
  out[threadIdx.x] = body(static_cast<int>(threadIdx.x));
}
template <auto body>
std::vector<long long> per_lane(unsigned lanes = 32) {
  const DeviceArray<long long> out(lanes);
  launch<per_lane_kernel<body>>(1, lanes, 0, nullptr, out.data());
  return out.host();
}
template <class Body>
std::vector<long long> expected(Body body, int lanes = 32) {
  std::vector<long long> result;
  for (int lane = 0; lane < lanes; ++lane) result.push_back(body(lane));
  return result;
}
template <auto body>
std::string fault_in(unsigned lanes = 32) {
  return fault_of([&] {
    const DeviceArray<long long> out(lanes);
    launch<per_lane_kernel<body>>(1, lanes, 0, nullptr, out.data());
    cudaDeviceSynchronize();
  });
}

TEST(Shuffle, ReadsAnyLane) {
  EXPECT_EQ((per_lane<[](int lane) -> long long { return __shfl_sync(kAll, lane * 10, lane + 5); }>()),
            expected([](int lane) { return (lane + 5) % 32 * 10; }));
}

TEST(Shuffle, StaysWithinItsWidth) {
  EXPECT_EQ((per_lane<[](int lane) -> long long { return __shfl_sync(kAll, lane, 1, 8); }>()),
            expected([](int lane) { return lane / 8 * 8 + 1; }));
  EXPECT_EQ((per_lane<[](int lane) -> long long { return __shfl_up_sync(kAll, lane, 3, 16); }>()),
            expected([](int lane) { return lane % 16 < 3 ? lane : lane - 3; }));
  EXPECT_EQ((per_lane<[](int lane) -> long long { return __shfl_down_sync(kAll, lane, 3, 16); }>()),
            expected([](int lane) { return lane % 16 + 3 > 15 ? lane : lane + 3; }));
  EXPECT_EQ((per_lane<[](int lane) -> long long { return __shfl_xor_sync(kAll, lane, 5); }>()),
            expected([](int lane) { return lane ^ 5; }));
}

TEST(Shuffle, CarriesEveryType) {
  EXPECT_EQ((per_lane<[](int lane) -> long long {
              const double d = __shfl_xor_sync(kAll, lane + 0.25, 1);
              const float f = __shfl_xor_sync(kAll, static_cast<float>(lane) + 0.5F, 1);
              const long long l = __shfl_xor_sync(kAll, static_cast<long long>(lane) << 40, 1);
              const unsigned u = __shfl_xor_sync(kAll, static_cast<unsigned>(lane), 1);
              return (d == (lane ^ 1) + 0.25 && f == static_cast<float>(lane ^ 1) + 0.5F ? l >> 40 : -1) + u;
            }>()),
            expected([](int lane) { return 2LL * (lane ^ 1); }));
}

TEST(Shuffle, FromALaneOutsideTheMaskIsAFault) {
  EXPECT_THAT((fault_in<[](int lane) -> long long { return lane < 16 ? __shfl_sync(0xFFFFU, lane, 20) : 0; }>()),
              HasSubstr("not in its mask"));
  EXPECT_EQ((fault_in<[](int lane) -> long long { return lane < 16 ? __shfl_sync(0xFFFFU, lane, 15) : 0; }>()), "");
}

TEST(Shuffle, FromALaneThatReturnedIsAFault) {
  EXPECT_THAT((fault_in<[](int lane) -> long long { return lane < 20 ? __shfl_xor_sync(kAll, lane, 4) : 0; }>()),
              HasSubstr("has returned"));
  EXPECT_THAT((fault_in<[](int lane) -> long long { return __shfl_sync(kAll, lane, 30); }>(20)),
              HasSubstr("does not exist"));
  EXPECT_EQ((fault_in<[](int lane) -> long long { return lane < 20 ? __shfl_sync(kAll, lane, 4) : 0; }>()), "");
}

TEST(Shuffle, OddWidthIsAFault) {
  EXPECT_THAT((fault_in<[](int lane) -> long long { return __shfl_sync(kAll, lane, 0, 12); }>()),
              HasSubstr("width 12"));
}

TEST(Vote, BallotsAllAndAny) {
  EXPECT_EQ((per_lane<[](int lane) -> long long { return __ballot_sync(kAll, lane % 3 == 0); }>()),
            expected([](int) { return 0x49249249LL; }));
  EXPECT_EQ((per_lane<[](int lane) -> long long {
              return __all_sync(kAll, lane < 32) * 1000 + __all_sync(kAll, lane < 31) * 100 +
                     __any_sync(kAll, lane == 7) * 10 + __any_sync(kAll, lane == 32);
            }>()),
            expected([](int) { return 1010; }));
}

TEST(Vote, CountsTheLanesOfAPartialWarpOnly) {
  EXPECT_EQ((per_lane<[](int) -> long long { return __ballot_sync(kAll, 1); }>(5)),
            expected([](int) { return 31; }, 5));
}

TEST(Match, GroupsLanesOfEqualValue) {
  EXPECT_EQ((per_lane<[](int lane) -> long long { return __match_any_sync(kAll, lane / 8); }>()),
            expected([](int lane) { return 0xFFLL << (lane / 8 * 8); }));
}

TEST(Reduce, CombinesIntegers) {
  EXPECT_EQ((per_lane<[](int lane) -> long long {
              const int sum = __reduce_add_sync(kAll, lane);
              const int low = __reduce_min_sync(kAll, lane - 5), high = __reduce_max_sync(kAll, lane - 5);
              const unsigned largest = __reduce_max_sync(kAll, static_cast<unsigned>(lane - 5));
              return sum == 496 && low == -5 && high == 26 && largest == kAll;
            }>()),
            expected([](int) { return 1; }));
  EXPECT_EQ((per_lane<[](int lane) -> long long {
              const auto bits = static_cast<unsigned>(lane) | 64U;
              return __reduce_and_sync(kAll, bits) == 64U && __reduce_or_sync(kAll, bits) == 95U &&
                     __reduce_xor_sync(kAll, bits) == 0U;
            }>()),
            expected([](int) { return 1; }));
}

TEST(WarpOperation, DisjointMasksOfOneWarpDoNotMeet) {
  EXPECT_EQ((per_lane<[](int lane) -> long long {
              int sum = lane;
              if (lane < 12) {
                sum = __reduce_add_sync(0xFFFU, lane);
              } else {
                sum = __reduce_add_sync(0xFFFFF000U, lane);
                sum = __reduce_max_sync(0xFFFFF000U, sum);
              }
              return sum;
            }>()),
            expected([](int lane) { return lane < 12 ? 66 : 430; }));
}

TEST(WarpOperation, OfALaneThatIsNotInItsOwnMaskIsAFault) {
  EXPECT_THAT((fault_in<[](int lane) -> long long { return __ballot_sync(0xFFFFFFFEU, lane); }>()),
              AnyOf(HasSubstr("mask 0xfffffffe, which does not name it"), HasSubstr("deadlock")));
  EXPECT_EQ((fault_in<[](int lane) -> long long { return lane == 0 ? 0 : __ballot_sync(0xFFFFFFFEU, lane); }>()), "");
}

TEST(WarpOperation, WithALaneElsewhereIsAFaultThatNamesBothPlaces) {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    set_schedule(seed);
    const std::string fault = fault_in<[](int lane) -> long long {
      if (lane < 7) return __ballot_sync(kAll, 1);
      return __ballot_sync(kAll, 0);
    }>();
    const int line = __LINE__ - 3;
    EXPECT_THAT(fault, AllOf(HasSubstr("divergent warp operation"), HasSubstr("warp_test.cpp:" + std::to_string(line)),
                             HasSubstr("warp_test.cpp:" + std::to_string(line + 1))));
  }
}

TEST(WarpOperation, WithDifferentMasksIsAFault) {
  EXPECT_NE((fault_in<[](int lane) -> long long { return __shfl_sync(lane < 8 ? kAll : 0xFFFFFF00U, lane, 9); }>()),
            "");
}

// A lane writes, its neighbour reads: an order that only __syncwarp gives.
template <bool synchronised>
__global__ void neighbours_kernel(int* out) {
  int* shared = static_cast<int*>(shared_memory());
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (synchronised) __syncwarp();
  out[threadIdx.x] = shared[threadIdx.x ^ 1U];
}

TEST(WarpOperation, SyncwarpOrdersMemoryAndItsAbsenceShows) {
  const DeviceArray<int> out(64);
  std::vector<int> swapped = counting(64);
  for (int& value : swapped) value ^= 1;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    set_schedule(seed);
    launch<neighbours_kernel<true>>(1, 64, 256, nullptr, out.data());
    EXPECT_EQ(out.host(), swapped);
    launch<neighbours_kernel<false>>(1, 64, 256, nullptr, out.data());
    EXPECT_NE(out.host(), swapped);
  }
}

}  // namespace
}  // namespace simt::test
