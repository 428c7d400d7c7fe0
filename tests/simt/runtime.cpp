#include "tests/simt/runtime.hpp"

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "tests/simt/runtime_api.hpp"
#include "tests/simt/watch.hpp"

namespace simt {
namespace {

constexpr std::size_t kLongestQueue = 4096;
constexpr std::size_t kSharedLimit = 48 * 1024;
constexpr std::uint64_t kMostBlocksX = 0x7FFFFFFF, kMostBlocksYZ = 65535;

constinit thread_local cuda::cudaError_t last_error = cuda::cudaSuccess;

}  // namespace

int& current_device() {
  thread_local int device = 0;
  return device;
}

Runtime& Runtime::get() {
  static Runtime runtime;
  return runtime;
}

Runtime::~Runtime() {
  if (!fault_) return;
  std::fprintf(stderr, "simt: the program ends with a fault that no synchronising call has thrown: %s\n",
               fault_->what());
  std::_Exit(1);
}

void Runtime::fail(const Fault& error) {
  if (!fault_) fault_ = error;
  streams.discard();
}

void Runtime::throw_fault() {
  if (!refused_launch.empty() && !fault_) fault_ = host_fault(std::exchange(refused_launch, ""));
  if (!fault_ || std::uncaught_exceptions() > 0) return;
  const Fault error = *fault_;
  fault_.reset();
  throw Fault(error);
}

void Runtime::limit_queue() {
  if (streams.pending() > kLongestQueue) drain([&] { streams.run_some(kLongestQueue / 2); });
}

void Runtime::run_kernel(const KernelCall& call) {
  ++launched[call.name];
  runner_.run(call, random());
  std::string damage = device.damage();
  if (damage.empty()) damage = pinned.damage();
  if (!damage.empty()) throw Fault(call.name, "", "", damage);
}

void Runtime::seed(std::uint64_t value) {
  streams.reseed(value);
}

bool Runtime::capture_forbids() {
  bool forbidden = false;
  for (Capture* capture : captures) {
    if (capture->mode == cuda::cudaStreamCaptureModeRelaxed) continue;
    const bool here = capture->thread == std::this_thread::get_id();
    if (capture->mode == cuda::cudaStreamCaptureModeThreadLocal && !here) continue;
    capture->invalid = forbidden = true;
  }
  return forbidden;
}

ApiCall::ApiCall() : runtime_(Runtime::get()) {
  if (running != nullptr) raise_fault("device code calls the host's runtime API");
  lock_ = std::unique_lock(runtime_.mutex);
}

cuda::cudaError_t report(cuda::cudaError_t error) {
  if (error != cuda::cudaSuccess) last_error = error;
  return error;
}

cuda::cudaError_t cuda::cudaGetLastError() {
  const ApiCall call;
  call->refused_launch.clear();
  return std::exchange(last_error, cudaSuccess);
}
cuda::cudaError_t cuda::cudaPeekAtLastError() {
  return last_error;
}

// ---- simt.hpp ------------------------------------------------------------------------------------------------------

void set_schedule(std::uint64_t seed) {
  const ApiCall call;
  call->seed(seed);
}

void set_device_memory(std::size_t bytes) {
  const ApiCall call;
  call->device.set_limit(bytes);
}

void set_devices(int count) {
  const ApiCall call;
  call->devices = count;
  call->contexts.clear();
}

std::set<int> used_devices() {
  const ApiCall call;
  return call->contexts;
}

std::map<std::string, std::int64_t> launched_kernels() {
  const ApiCall call;
  return call->launched;
}

ApiCalls api_calls() {
  const ApiCall call;
  return call->calls;
}

cuda::cudaError_t launch(std::string_view name, cuda::dim3 grid, cuda::dim3 block, std::size_t dynamic_shared_bytes,
                         cuda::cudaStream_t stream_handle, Body body, const void* function) {
  const ApiCall call;
  Stream* stream = call->streams.find(stream_handle);
  const auto refuse = [&](cuda::cudaError_t error) {
    call->refused_launch = "the launch of " + std::string(name) + " failed: " + cuda::cudaGetErrorString(error);
    return report(error);
  };
  call->use_device();
  const bool foreign = stream != nullptr && stream_handle != nullptr && stream->device != current_device();
  if (stream == nullptr || foreign) return refuse(cuda::cudaErrorInvalidResourceHandle);
  const bool empty = grid.x == 0 || grid.y == 0 || grid.z == 0 || block.x == 0 || block.y == 0 || block.z == 0;
  const bool too_many = grid.x > kMostBlocksX || grid.y > kMostBlocksYZ || grid.z > kMostBlocksYZ || block.x > 1024 ||
                        block.y > 1024 || block.z > 64 || std::uint64_t{block.x} * block.y * block.z > kMostThreads;
  if (empty || too_many) return refuse(cuda::cudaErrorInvalidConfiguration);
  std::size_t limit = kSharedLimit;
  for (const auto& [opted_in, bytes] : call->shared_opt_in) {
    if (function == nullptr || function == opted_in) limit = std::max(limit, bytes);
  }
  if (dynamic_shared_bytes > limit) return refuse(cuda::cudaErrorInvalidValue);
  ++call->calls.launches;
  KernelCall kernel{std::string(name), grid, block, dynamic_shared_bytes, std::move(body)};
  call->streams.add(*stream,
                    {std::string(name), [kernel = std::move(kernel)] { Runtime::get().run_kernel(kernel); }, {}});
  call->limit_queue();
  return cuda::cudaSuccess;
}

cuda::cudaError_t enqueue_host(std::string_view name, cuda::cudaStream_t stream_handle, std::vector<Bytes> reads,
                               std::vector<Bytes> writes, std::function<void()> work) {
  const ApiCall call;
  Stream* stream = call->streams.find(stream_handle);
  if (stream == nullptr) return report(cuda::cudaErrorInvalidResourceHandle);
  ++call->calls.launches;
  const auto run = [name = std::string(name), reads = std::move(reads), writes = std::move(writes),
                    work = std::move(work)] {
    Runtime& runtime = Runtime::get();
    ++runtime.launched[name];
    for (const auto* ranges : {&reads, &writes}) {
      for (const auto& [data, bytes] : *ranges) {
        if (bytes == 0 || runtime.device.contains(data, bytes)) continue;
        throw host_fault(name + ": " + std::to_string(bytes) + " bytes leave their allocation: they start at " +
                         runtime.device.describe(data));
      }
    }
    for (const auto& [data, bytes] : reads) {
      const std::string error = watch == nullptr ? "" : watch->check_read(data, bytes);
      if (!error.empty()) throw host_fault(name + ": " + error);
    }
    work();
    for (const auto& [data, bytes] : writes) {
      if (watch != nullptr) watch->written(data, bytes);
    }
  };
  call->streams.add(*stream, {std::string(name), run, {}});
  call->limit_queue();
  return cuda::cudaSuccess;
}

}  // namespace simt
