// Memory of the runtime API: allocation, copies, fills.
#include <cstring>

#include "tests/simt/runtime.hpp"
#include "tests/simt/runtime_api.hpp"
#include "tests/simt/watch.hpp"

namespace simt::cuda {
namespace {

struct Copy {
  std::byte* to;
  std::size_t to_pitch;
  const std::byte* from;
  std::size_t from_pitch;
  std::size_t width, height;

  [[nodiscard]] std::size_t to_bytes() const { return (height - 1) * to_pitch + width; }
  [[nodiscard]] std::size_t from_bytes() const { return (height - 1) * from_pitch + width; }
};

void check_device_range(const std::byte* from, std::size_t bytes, const char* what) {
  const DeviceMemory& device = Runtime::get().device;
  if (!device.is_device(from) || device.contains(from, bytes)) return;
  throw host_fault(std::string(what) + " of " + std::to_string(bytes) + " bytes leaves its allocation: it starts at " +
                   device.describe(from));
}

void run_copy(const Copy& copy) {
  check_device_range(copy.to, copy.to_bytes(), "the destination of a copy");
  check_device_range(copy.from, copy.from_bytes(), "the source of a copy");
  for (std::size_t r = 0; r < copy.height; ++r) {
    std::byte* to = copy.to + r * copy.to_pitch;
    const std::byte* from = copy.from + r * copy.from_pitch;
    std::memcpy(to, from, copy.width);
    if (watch != nullptr) watch->copied(from, to, copy.width);
  }
}

cudaError_t check_direction(const Runtime& runtime, const Copy& copy, cudaMemcpyKind kind) {
  const bool to_device = runtime.device.is_device(copy.to);
  const bool from_device = runtime.device.is_device(copy.from);
  if (kind == cudaMemcpyDefault) return cudaSuccess;
  const bool says_to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool says_from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return says_to == to_device && says_from == from_device ? cudaSuccess : cudaErrorInvalidMemcpyDirection;
}

cudaError_t enqueue_copy(Copy copy, cudaMemcpyKind kind, cudaStream_t handle) {
  const ApiCall call;
  Runtime& runtime = *call;
  Stream* stream = runtime.streams.find(handle);
  if (stream == nullptr) return report(cudaErrorInvalidResourceHandle);
  if (copy.width > copy.to_pitch || copy.width > copy.from_pitch) return report(cudaErrorInvalidValue);
  if (copy.width == 0 || copy.height == 0) return cudaSuccess;
  if (copy.to == nullptr || copy.from == nullptr) return report(cudaErrorInvalidValue);
  if (const auto error = check_direction(runtime, copy, kind); error != cudaSuccess) return report(error);

  const bool from_pageable =
      !runtime.device.is_device(copy.from) && !runtime.pinned.contains(copy.from, copy.from_bytes());
  const bool to_pageable = !runtime.device.is_device(copy.to) && !runtime.pinned.contains(copy.to, copy.to_bytes());
  if (stream->capture != nullptr && (from_pageable || to_pageable)) {
    stream->capture->invalid = true;
    return report(cudaErrorStreamCaptureUnsupported);
  }
  ++runtime.calls.copies;
  Work work{"cudaMemcpyAsync", [copy] { run_copy(copy); }, {}};
  if (from_pageable) {  // CUDA reads it before the call returns
    auto staged = std::make_shared<std::vector<std::byte>>(copy.from, copy.from + copy.from_bytes());
    work.run = [copy, staged]() mutable {
      copy.from = staged->data();
      run_copy(copy);
    };
  } else if (!runtime.device.is_device(copy.from)) {
    work.source = {copy.from, copy.width, copy.height, copy.from_pitch};
  }
  runtime.streams.add(*stream, std::move(work));
  if (to_pageable) {  // the call returns when the copy is done
    runtime.drain([&] { runtime.streams.run_until_empty(*stream); });
    runtime.throw_fault();
  } else {
    runtime.limit_queue();
  }
  return cudaSuccess;
}

cudaError_t enqueue_fill(std::byte* to, std::size_t pitch, int value, std::size_t width, std::size_t height,
                         cudaStream_t handle) {
  const ApiCall call;
  Stream* stream = call->streams.find(handle);
  if (stream == nullptr) return report(cudaErrorInvalidResourceHandle);
  if (width > pitch) return report(cudaErrorInvalidValue);
  if (width == 0 || height == 0) return cudaSuccess;
  if (!call->device.is_device(to) && !call->pinned.contains(to, (height - 1) * pitch + width)) {
    return report(cudaErrorInvalidValue);
  }
  ++call->calls.copies;
  const auto fill = [=] {
    check_device_range(to, (height - 1) * pitch + width, "a memset");
    for (std::size_t r = 0; r < height; ++r) {
      std::memset(to + r * pitch, value, width);
      if (watch != nullptr) watch->written(to + r * pitch, width);
    }
  };
  call->streams.add(*stream, {"cudaMemsetAsync", fill, {}});
  call->limit_queue();
  return cudaSuccess;
}

/// Freeing waits, on the device, for everything that was enqueued; the host goes on.
template <class Memory>
cudaError_t release(Memory Runtime::*memory, void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  const ApiCall call;
  call->use_device();
  if (call->capture_forbids()) return report(cudaErrorStreamCaptureUnsupported);
  if (!((*call).*memory).owns(pointer) || !call->freed.insert(pointer).second) return report(cudaErrorInvalidValue);
  ++call->calls.releases;
  call->streams.fence([memory, pointer] {
    (Runtime::get().*memory).release(pointer);
    Runtime::get().freed.erase(pointer);
  });
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const ApiCall call;
  call->use_device();
  *total = call->device.limit();
  *free = *total - std::min(*total, call->device.used());
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  const ApiCall call;
  call->use_device();
  *pointer = nullptr;
  if (call->capture_forbids()) return report(cudaErrorStreamCaptureUnsupported);
  ++call->calls.allocations;
  if (bytes == 0) return cudaSuccess;
  *pointer = call->device.allocate(bytes);
  if (*pointer == nullptr) {  // what was freed may still be waiting
    call->drain([&] { call->streams.run_all(); });
    *pointer = call->device.allocate(bytes);
  }
  return report(*pointer == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t cudaFree(void* pointer) {
  return release(&Runtime::device, pointer);
}

cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  const ApiCall call;
  call->use_device();
  *pointer = nullptr;
  if (call->capture_forbids()) return report(cudaErrorStreamCaptureUnsupported);
  ++call->calls.allocations;
  if (bytes == 0) return cudaSuccess;
  *pointer = call->pinned.allocate(bytes);
  return report(*pointer == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned /*flags*/) {
  return cudaMallocHost(pointer, bytes);
}

cudaError_t cudaFreeHost(void* pointer) {
  return release(&Runtime::pinned, pointer);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return enqueue_copy({static_cast<std::byte*>(to), bytes, static_cast<const std::byte*>(from), bytes, bytes, 1}, kind,
                      stream);
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return enqueue_copy(
      {static_cast<std::byte*>(to), to_pitch, static_cast<const std::byte*>(from), from_pitch, width, height}, kind,
      stream);
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  {
    const ApiCall call;
    if (call->capture_forbids()) return report(cudaErrorStreamCaptureImplicit);
  }
  const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  return error != cudaSuccess ? error : cudaStreamSynchronize(nullptr);
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return enqueue_fill(static_cast<std::byte*>(to), bytes, value, bytes, 1, stream);
}

cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return cudaMemsetAsync(to, value, bytes, nullptr);
}

cudaError_t cudaMemset2DAsync(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height,
                              cudaStream_t stream) {
  return enqueue_fill(static_cast<std::byte*>(to), pitch, value, width, height, stream);
}

}  // namespace simt::cuda
