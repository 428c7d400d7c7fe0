#include <set>
#include <thread>

#include "tests/simt/device_array.hpp"

namespace simt::test {
namespace {

class Stream {
 public:
  explicit Stream(unsigned flags = cudaStreamNonBlocking) { EXPECT_EQ(cudaStreamCreateWithFlags(&handle_, flags), 0); }
  ~Stream() { cudaStreamDestroy(handle_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return handle_; }  // NOLINT: a handle

 private:
  cudaStream_t handle_ = nullptr;
};
class Event {
 public:
  Event() { EXPECT_EQ(cudaEventCreateWithFlags(&handle_, cudaEventDisableTiming), 0); }
  ~Event() { cudaEventDestroy(handle_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  operator cudaEvent_t() const { return handle_; }  // NOLINT: a handle

 private:
  cudaEvent_t handle_ = nullptr;
};

__global__ void add_kernel(int* to, const int* from, int addend) {
  *to = *from + addend;
}
void enqueue_add(cudaStream_t stream, const DeviceArray<int>& to, const DeviceArray<int>& from, int addend) {
  EXPECT_EQ(launch<add_kernel>(1, 1, 0, stream, to.data(), from.data(), addend), cudaSuccess);
}

/// Results of a producer and a consumer on two streams, over 20 schedules.
std::set<int> consumer_results(bool wait) {
  std::set<int> results;
  const DeviceArray<int> zero(std::vector<int>{0}), made(std::vector<int>{-5}), used(std::vector<int>{-7});
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    set_schedule(seed);
    const Stream producer, consumer;
    const Event done;
    enqueue_add(producer, made, zero, -5);
    cudaStreamSynchronize(producer);
    enqueue_add(producer, made, zero, 1);
    cudaEventRecord(done, producer);
    if (wait) cudaStreamWaitEvent(consumer, done);
    enqueue_add(consumer, used, made, 10);
    cudaStreamSynchronize(consumer);
    results.insert(used.host()[0]);
  }
  return results;
}

TEST(Streams, AWaitForAnEventOrdersThem) {
  EXPECT_EQ(consumer_results(true), std::set<int>{11});
}

TEST(Streams, AMissingWaitShows) {
  EXPECT_EQ(consumer_results(false), (std::set<int>{5, 11}));
}

TEST(Streams, TakeKernelsOnlyFromThreadsOfTheirDevice) {
  set_devices(2);
  std::thread([] {
    const DeviceArray<int> from(std::vector<int>{1}), to(std::vector<int>{0});
    const Stream first;
    EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
    EXPECT_EQ(launch<add_kernel>(1, 1, 0, first, to.data(), from.data(), 1), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidResourceHandle);
    const Stream second;
    enqueue_add(second, to, from, 1);
    EXPECT_EQ(used_devices(), (std::set<int>{0, 1}));
    EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  }).join();
  set_devices(1);
}

TEST(Streams, WorkRunsLate) {
  const Stream stream;
  const Event event;
  int* pinned = nullptr;
  cudaMallocHost(&pinned, 4);
  *pinned = 0;
  const DeviceArray<int> one(std::vector<int>{1});
  cudaMemcpyAsync(pinned, one.data(), 4, cudaMemcpyDeviceToHost, stream);
  cudaEventRecord(event, stream);
  EXPECT_EQ(*pinned, 0);
  int queries = 1;
  while (cudaEventQuery(event) == cudaErrorNotReady) ++queries;
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(*pinned, 1);
  EXPECT_LT(queries, 100);
  EXPECT_EQ(cudaStreamQuery(stream), cudaSuccess);
  cudaFreeHost(pinned);
}

TEST(Events, NeverRecordedHoldNobodyUp) {
  const Stream stream;
  const Event event;
  EXPECT_EQ(cudaStreamWaitEvent(stream, event), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(event), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
}

TEST(Events, AWaitIsForTheRecordingBeforeIt) {
  const DeviceArray<int> first(std::vector<int>{0}), second(std::vector<int>{0}), seen(std::vector<int>{0});
  std::set<int> results;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    set_schedule(seed);
    const Stream producer, consumer;
    const Event event;
    cudaMemset(second.data(), 0, 4);
    cudaDeviceSynchronize();
    enqueue_add(producer, first, first, 1);
    cudaEventRecord(event, producer);
    cudaStreamWaitEvent(consumer, event);
    enqueue_add(producer, second, first, 0);
    cudaEventRecord(event, producer);  // too late for the wait above
    enqueue_add(consumer, seen, second, 0);
    cudaStreamSynchronize(consumer);
    results.insert(seen.host()[0] == 0 ? 0 : 1);
  }
  EXPECT_EQ(results, (std::set<int>{0, 1}));
}

TEST(Streams, TheDefaultStreamWaitsForBlockingStreamsOnly) {
  std::set<int> blocking_results, other_results;
  const DeviceArray<int> zero(std::vector<int>{0}), made(std::vector<int>{0}), used(std::vector<int>{0});
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    set_schedule(seed);
    for (const unsigned flags : {cudaStreamDefault, cudaStreamNonBlocking}) {
      const Stream stream(flags);
      cudaMemset(made.data(), 0, 4);
      cudaDeviceSynchronize();
      enqueue_add(stream, made, zero, 1);
      enqueue_add(nullptr, used, made, 0);
      (flags == cudaStreamDefault ? blocking_results : other_results).insert(used.host()[0]);
    }
  }
  EXPECT_EQ(blocking_results, std::set<int>{1});
  EXPECT_EQ(other_results, (std::set<int>{0, 1}));
}

TEST(Streams, UnknownHandlesAreErrors) {
  cudaStream_t stale = nullptr;
  { stale = Stream(); }
  EXPECT_EQ(cudaStreamSynchronize(stale), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaStreamDestroy(nullptr), cudaErrorInvalidResourceHandle);
  cudaGetLastError();
}

TEST(Streams, DestroyedWithWorkStillDoIt) {
  const DeviceArray<int> number(std::vector<int>{1});
  {
    const Stream stream;
    enqueue_add(stream, number, number, 41);
  }
  EXPECT_EQ(number.host()[0], 42);
}

TEST(Streams, RunHostCodeInOrderWithKernels) {
  const DeviceArray<int> in(counting(4)), out(4);
  const auto negate = [&](std::size_t count) {
    cuda::cudaError_t error = enqueue_host("negate", nullptr, {{in.data(), 16}}, {{out.data(), count * 4}},
                                           [from = in.data(), to = out.data()] {
                                             for (int i = 0; i < 4; ++i) to[i] = -from[i];
                                           });
    EXPECT_EQ(error, cudaSuccess);
  };
  enqueue_add(nullptr, in, in, 7);
  negate(4);
  EXPECT_EQ(out.host(), (std::vector<int>{-7, -1, -2, -3}));
  EXPECT_THAT(fault_of([&] { negate(5); }), ::testing::HasSubstr("negate: 20 bytes leave their allocation"));
  const auto barrier = [] { enqueue_host("barrier", nullptr, {}, {}, [] { __syncthreads(); }); };
  EXPECT_EQ(fault_of(barrier), "__syncthreads is called outside of a kernel");
}

TEST(Streams, LongQueuesAreShortenedOnTheWay) {
  const Stream stream;
  const DeviceArray<int> number(std::vector<int>{0});
  for (int i = 0; i < 20000; ++i) enqueue_add(stream, number, number, 1);
  EXPECT_EQ(number.host()[0], 20000);
}

TEST(Schedule, TheSameSeedGivesTheSameOrder) {
  const auto order = [](std::uint64_t seed) {
    set_schedule(seed);
    const DeviceArray<unsigned> count(std::vector<unsigned>{0}), places(4 * 64);
    launch("order", 4, 64, 0, nullptr, [count = count.data(), places = places.data()] {
      __syncthreads();
      places[atomicAdd(count, 1U)] = blockIdx.x * 64 + threadIdx.x;
    });
    return places.host();
  };
  EXPECT_EQ(order(3), order(3));
  EXPECT_NE(order(3), order(4));
}

// ---- Graphs --------------------------------------------------------------------------------------------------------

class Executable {
 public:
  explicit Executable(cudaGraph_t graph) { EXPECT_EQ(cudaGraphInstantiate(&handle_, graph), cudaSuccess); }
  ~Executable() { cudaGraphExecDestroy(handle_); }
  Executable(const Executable&) = delete;
  Executable& operator=(const Executable&) = delete;
  operator cudaGraphExec_t() const { return handle_; }  // NOLINT: a handle

 private:
  cudaGraphExec_t handle_ = nullptr;
};

TEST(Graph, ReplaysWhatWasCapturedWithItsForksAndArgumentsByValue) {
  const DeviceArray<int> x(std::vector<int>{0}), left(std::vector<int>{0}), right(std::vector<int>{0});
  const DeviceArray<int> log(std::vector<int>{0});
  const Stream main, side;
  const Event forked, joined;
  const std::int64_t before = launched_kernels()["add_kernel"];
  int addend = 1;
  ASSERT_EQ(cudaStreamBeginCapture(main, cudaStreamCaptureModeGlobal), cudaSuccess);
  enqueue_add(main, x, x, addend);
  addend = 100;
  cudaEventRecord(forked, main);
  cudaStreamWaitEvent(side, forked);
  cudaStreamCaptureStatus status;
  EXPECT_EQ(cudaStreamIsCapturing(side, &status), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusActive);
  enqueue_add(side, right, x, 20);
  cudaEventRecord(joined, side);
  enqueue_add(main, left, x, 10);
  cudaStreamWaitEvent(main, joined);
  launch("sum_kernel", 1, 1, 0, main,
         [log = log.data(), left = left.data(), right = right.data()] { *log = *log * 1000 + *left + *right; });
  cudaGraph_t graph;
  ASSERT_EQ(cudaStreamEndCapture(main, &graph), cudaSuccess);
  EXPECT_EQ(cudaStreamIsCapturing(side, &status), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusNone);
  const Executable executable(graph);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  cudaDeviceSynchronize();
  EXPECT_EQ(launched_kernels()["add_kernel"], before) << "capturing runs nothing";

  const ApiCalls calls = api_calls();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(cudaGraphLaunch(executable, main), cudaSuccess);
  EXPECT_EQ(log.host()[0], 32034);
  EXPECT_EQ(x.host()[0], 2);
  EXPECT_EQ(api_calls().graph_launches, calls.graph_launches + 2);
  EXPECT_EQ(api_calls().launches, calls.launches);
  EXPECT_EQ(launched_kernels()["add_kernel"], before + 6);
}

TEST(Graph, BranchesThatAreNotJoinedAreAnError) {
  const DeviceArray<int> x(std::vector<int>{0}), y(std::vector<int>{0});
  const Stream main, side;
  const Event forked;
  cudaStreamBeginCapture(main, cudaStreamCaptureModeGlobal);
  enqueue_add(main, x, x, 1);
  cudaEventRecord(forked, main);
  cudaStreamWaitEvent(side, forked);
  enqueue_add(side, y, y, 1);
  cudaGraph_t graph;
  EXPECT_EQ(cudaStreamEndCapture(main, &graph), cudaErrorStreamCaptureUnjoined);
  EXPECT_EQ(graph, nullptr);
  cudaGetLastError();
}

TEST(Graph, WhatCannotBeCapturedIsAnErrorAndSpoilsTheCapture) {
  const DeviceArray<int> x(std::vector<int>{0});
  int host = 0;
  void* pointer = nullptr;
  const Stream stream;
  const std::vector<std::function<cudaError_t()>> forbidden = {
      [&] { return cudaStreamSynchronize(stream); },
      [&] { return cudaDeviceSynchronize(); },
      [&] { return cudaStreamQuery(stream); },
      [&] { return cudaMalloc(&pointer, 16); },
      [&] { return cudaMallocHost(&pointer, 16); },
      [&] { return cudaMemcpyAsync(x.data(), &host, 4, cudaMemcpyHostToDevice, stream); },
      [&] { return cudaMemcpy(x.data(), &host, 4, cudaMemcpyHostToDevice); },
  };
  for (const auto& call : forbidden) {
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
    enqueue_add(stream, x, x, 1);
    EXPECT_NE(call(), cudaSuccess);
    cudaGraph_t graph;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  }
  cudaGetLastError();
  EXPECT_EQ(x.host()[0], 0);
}

TEST(Graph, CapturedThreadLocallyLeavesOtherThreadsAlone) {
  const DeviceArray<int> x(std::vector<int>{0});
  const Stream stream;
  const auto allocate = [] {
    void* pointer = nullptr;
    const cudaError_t error = cudaMallocHost(&pointer, 16);
    cudaFreeHost(pointer);
    cudaGetLastError();
    return error;
  };
  for (const auto mode : {cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeGlobal}) {
    ASSERT_EQ(cudaStreamBeginCapture(stream, mode), cudaSuccess);
    enqueue_add(stream, x, x, 1);
    cudaError_t other = cudaSuccess;
    std::thread([&] { other = allocate(); }).join();
    cudaGraph_t graph = nullptr;
    if (mode == cudaStreamCaptureModeThreadLocal) {
      EXPECT_EQ(other, cudaSuccess);
      EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
      cudaGraphDestroy(graph);
    } else {
      EXPECT_EQ(other, cudaErrorStreamCaptureUnsupported);
      EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    }
  }
  cudaGetLastError();
}

TEST(Graph, ReplaysCopiesFromPinnedMemoryWithItsPresentContent) {
  int* pinned = nullptr;
  cudaMallocHost(&pinned, 4);
  *pinned = 1;
  const DeviceArray<int> x(std::vector<int>{0});
  const Stream stream;
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal);
  cudaMemcpyAsync(x.data(), pinned, 4, cudaMemcpyHostToDevice, stream);
  cudaGraph_t graph;
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  const Executable executable(graph);
  cudaGraphDestroy(graph);
  *pinned = 2;
  cudaGraphLaunch(executable, stream);
  EXPECT_EQ(x.host()[0], 2);
  EXPECT_THAT(fault_of([&] {
                cudaGraphLaunch(executable, stream);
                *pinned = 3;
              }),
              ::testing::HasSubstr("pinned buffer reused too early"));
  cudaFreeHost(pinned);
}

}  // namespace
}  // namespace simt::test
