#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/simt/fault.hpp"
#include "tests/simt/runtime_types.hpp"
#include "tests/simt/thread.hpp"
#include "tests/simt/vector_types.hpp"

/// CUDA on the host, for tests: what kernels/cuda/launch.cuh and device.cuh call, and what tests ask.
namespace simt {

/// The name of a __global__ function without namespaces and template arguments: "pool_kernel".
template <auto kernel>
[[nodiscard]] constexpr std::string_view kernel_name() {
  std::string_view name = __PRETTY_FUNCTION__;
  name.remove_prefix(name.find("kernel = ") + 9);
  name = name.substr(0, name.find_first_of("<;](", name.find("{anonymous}::") + 1));
  return name.substr(name.rfind(':') + 1);
}

/// What a kernel's threads run: any callable. It stays where it is, so that its captures, the kernel's arguments, are
/// known to be one range of bytes.
class Body {
 public:
  template <class Callable>
  requires std::invocable<const Callable&> Body(Callable callable)  // NOLINT: converts
      : callable_(std::make_shared<const Callable>(std::move(callable))),
        bytes_(sizeof(Callable)),
        call_([](const void* self) { (*static_cast<const Callable*>(self))(); }) {}

  void operator()() const { call_(callable_.get()); }
  [[nodiscard]] const void* arguments() const { return callable_.get(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  std::shared_ptr<const void> callable_;
  std::size_t bytes_;
  void (*call_)(const void* self);
};

/// Enqueues grid x block calls of `body` on the stream. Like every launch it returns (and keeps for cudaGetLastError)
/// cudaErrorInvalidConfiguration or cudaErrorInvalidValue where a limit of CUDA is broken; if nobody asks for it, the
/// next synchronising call throws. `function` is the kernel that cudaFuncSetAttribute knows; without it, what any
/// kernel was allowed holds.
cuda::cudaError_t launch(std::string_view name, cuda::dim3 grid, cuda::dim3 block, std::size_t dynamic_shared_bytes,
                         cuda::cudaStream_t stream, Body body, const void* function = nullptr);

/// The same for a kernel and its arguments, which are passed by value.
template <auto kernel, class... Args>
cuda::cudaError_t launch(cuda::dim3 grid, cuda::dim3 block, std::size_t dynamic_shared_bytes, cuda::cudaStream_t stream,
                         Args... args) {
  static_assert((std::is_trivially_copyable_v<Args> && ...), "a kernel's arguments are copied byte by byte");
  return launch(
      kernel_name<kernel>(), grid, block, dynamic_shared_bytes, stream, [=] { kernel(args...); },
      reinterpret_cast<const void*>(kernel));
}

/// For host stand-ins of CUDA's libraries: enqueues plain host code that may use the device memory it names, every byte
/// of which it reads, or writes.
struct Bytes {
  const void* data;
  std::size_t count;
};
cuda::cudaError_t enqueue_host(std::string_view name, cuda::cudaStream_t stream, std::vector<Bytes> reads,
                               std::vector<Bytes> writes, std::function<void()> work);

/// Another order of blocks, threads and streams. The default seed is fixed.
void set_schedule(std::uint64_t seed);
/// How much device memory cudaMalloc may hand out; 8 GiB by default.
void set_device_memory(std::size_t bytes);

/// How many devices the machine has, 1 by default; forgets which of them are used. They share one memory, but a
/// kernel can be launched only into streams of the calling thread's device.
void set_devices(int count);
/// Devices that are used: which a thread had chosen, or had by default, when it needed one.
[[nodiscard]] std::set<int> used_devices();

/// Kernels that ran since the program started, and how often.
[[nodiscard]] std::map<std::string, std::int64_t> launched_kernels();

/// Calls of the host since the program started; those that only add to a graph count, too.
struct ApiCalls {
  std::int64_t launches = 0;
  std::int64_t copies = 0;  // and memsets
  std::int64_t synchronisations = 0;
  std::int64_t allocations = 0;  // device and pinned
  std::int64_t releases = 0;
  std::int64_t graph_launches = 0;
};
[[nodiscard]] ApiCalls api_calls();

}  // namespace simt
