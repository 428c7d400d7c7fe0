// Streams, events and the device of the runtime API.
#include <algorithm>
#include <cstring>

#include "tests/simt/runtime.hpp"
#include "tests/simt/runtime_api.hpp"

namespace simt::cuda {
namespace {

constexpr int kMultiprocessors = 4;
constexpr std::size_t kSharedOptIn = 227 * 1024;

cudaStream_t handle_of(Stream* stream) {
  return reinterpret_cast<cudaStream_t>(stream);
}

Event* find_event(Runtime& runtime, cudaEvent_t handle) {
  for (const auto& event : runtime.events) {
    if (event.get() == reinterpret_cast<const Event*>(handle)) return event.get();
  }
  return nullptr;
}

/// Waiting for, or asking about, a stream that is being captured spoils the capture.
bool capturing(Stream& stream) {
  if (stream.capture == nullptr) return false;
  stream.capture->invalid = true;
  return true;
}

/// How far a query lets the device get: something between nothing and a few operations.
void make_progress(Runtime& runtime) {
  runtime.drain([&] { runtime.streams.run_some(runtime.random().below(4)); });
}

}  // namespace

// ---- Device --------------------------------------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int* count) {
  *count = ApiCall()->devices;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  const ApiCall call;
  if (device < 0 || device >= call->devices) return report(cudaErrorInvalidDevice);
  current_device() = device;
  call->use_device();  // since CUDA 12
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device();
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const ApiCall call;
  if (device < 0 || device >= call->devices) return report(cudaErrorInvalidDevice);
  *properties = {};
  std::strcpy(properties->name, "simt");
  properties->totalGlobalMem = call->device.limit();
  properties->sharedMemPerBlock = 48 * 1024;
  properties->sharedMemPerBlockOptin = kSharedOptIn;
  properties->sharedMemPerMultiprocessor = kSharedOptIn + 1024;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = 1024;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->multiProcessorCount = kMultiprocessors;
  properties->major = 9;
  properties->l2CacheSize = 1 << 20;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp properties;
  if (const auto error = cudaGetDeviceProperties(&properties, device); error != cudaSuccess) return error;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = properties.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(properties.sharedMemPerBlock);
      break;
    case cudaDevAttrWarpSize:
      *value = properties.warpSize;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(properties.sharedMemPerBlockOptin);
      break;
    default:
      return report(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  const ApiCall call;
  if (call->capture_forbids()) return report(cudaErrorStreamCaptureUnsupported);
  ++call->calls.synchronisations;
  call->drain([&] { call->streams.run_all(); });
  call->throw_fault();
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  const ApiCall call;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<std::size_t>(value) > kSharedOptIn) return report(cudaErrorInvalidValue);
  call->shared_opt_in[function] = static_cast<std::size_t>(value);
  return cudaSuccess;
}

// ---- Streams -------------------------------------------------------------------------------------------------------

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const ApiCall call;
  if (flags > cudaStreamNonBlocking) return report(cudaErrorInvalidValue);
  call->use_device();
  Stream* created = call->streams.create(flags == cudaStreamDefault);
  created->device = current_device();
  *stream = handle_of(created);
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  const ApiCall call;
  Stream* stream = handle == nullptr ? nullptr : call->streams.find(handle);
  if (stream == nullptr) return report(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) {
    stream->capture->invalid = true;
    stream->capture->members.erase(stream);
  }
  call->streams.destroy(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  const ApiCall call;
  Stream* stream = call->streams.find(handle);
  if (stream == nullptr) return report(cudaErrorInvalidResourceHandle);
  if (capturing(*stream) || (handle == nullptr && call->capture_forbids())) {
    return report(cudaErrorStreamCaptureUnsupported);
  }
  ++call->calls.synchronisations;
  call->drain([&] { call->streams.run_until_empty(*stream); });
  call->throw_fault();
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const ApiCall call;
  Stream* stream = call->streams.find(handle);
  if (stream == nullptr) return report(cudaErrorInvalidResourceHandle);
  if (capturing(*stream)) return report(cudaErrorStreamCaptureUnsupported);
  make_progress(*call);
  if (!stream->queue.empty()) return cudaErrorNotReady;
  call->throw_fault();
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned /*flags*/) {
  const ApiCall call;
  Stream* stream = call->streams.find(handle);
  const Event* event = find_event(*call, event_handle);
  if (stream == nullptr || event == nullptr) return report(cudaErrorInvalidResourceHandle);
  if (event->capture != nullptr && event->capture->ended) return report(cudaErrorCapturedEvent);
  if (event->capture != nullptr && stream->capture != nullptr && event->capture != stream->capture) {
    return report(cudaErrorStreamCaptureMerge);
  }
  if (event->capture == nullptr && event->last != nullptr && stream->capture != nullptr) {
    stream->capture->invalid = true;
    return report(cudaErrorStreamCaptureIsolation);
  }
  call->streams.wait(*stream, *event);
  return cudaSuccess;
}

// ---- Events --------------------------------------------------------------------------------------------------------

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned /*flags*/) {
  const ApiCall call;
  call->use_device();
  call->events.push_back(std::make_unique<Event>());
  *event = reinterpret_cast<cudaEvent_t>(call->events.back().get());
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  const ApiCall call;
  const Event* event = find_event(*call, handle);
  if (event == nullptr) return report(cudaErrorInvalidResourceHandle);
  std::erase_if(call->events, [&](const auto& each) { return each.get() == event; });
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream_handle) {
  const ApiCall call;
  Stream* stream = call->streams.find(stream_handle);
  Event* event = find_event(*call, handle);
  if (stream == nullptr || event == nullptr) return report(cudaErrorInvalidResourceHandle);
  call->streams.record(*stream, *event);
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  const ApiCall call;
  const Event* event = find_event(*call, handle);
  if (event == nullptr) return report(cudaErrorInvalidResourceHandle);
  if (event->capture != nullptr) return report(cudaErrorCapturedEvent);
  ++call->calls.synchronisations;
  if (const auto record = event->last) call->drain([&] { call->streams.run_until_done(*record); });
  call->throw_fault();
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  const ApiCall call;
  const Event* event = find_event(*call, handle);
  if (event == nullptr) return report(cudaErrorInvalidResourceHandle);
  if (event->capture != nullptr) return report(cudaErrorCapturedEvent);
  make_progress(*call);
  if (event->last != nullptr && !event->last->done) return cudaErrorNotReady;
  call->throw_fault();
  return cudaSuccess;
}

}  // namespace simt::cuda
