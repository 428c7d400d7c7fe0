// Stream capture and graphs of the runtime API; the texts of the errors.
#include <algorithm>

#include "tests/simt/runtime.hpp"
#include "tests/simt/runtime_api.hpp"

namespace simt::cuda {
namespace {

template <class Handle, class Object>
Object* find_in(const std::vector<std::unique_ptr<Object>>& all, Handle handle) {
  for (const auto& each : all) {
    if (each.get() == reinterpret_cast<const Object*>(handle)) return each.get();
  }
  return nullptr;
}

/// Whether every captured operation comes before the next one of the origin.
bool joined(const Capture& capture, const Stream& origin) {
  std::vector<std::size_t> open = origin.captured_tail;
  std::vector<bool> reached(capture.graph.nodes.size(), false);
  while (!open.empty()) {
    const std::size_t node = open.back();
    open.pop_back();
    if (reached[node]) continue;
    reached[node] = true;
    const auto& after = capture.graph.nodes[node].after;
    open.insert(open.end(), after.begin(), after.end());
  }
  return std::all_of(reached.begin(), reached.end(), [](bool each) { return each; });
}

}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  const ApiCall call;
  Stream* stream = call->streams.find(handle);
  if (stream == nullptr) return report(cudaErrorInvalidResourceHandle);
  if (handle == nullptr) return report(cudaErrorStreamCaptureUnsupported);
  if (stream->capture != nullptr) return report(cudaErrorInvalidValue);
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = stream;
  stream->capture->mode = mode;
  stream->capture->thread = std::this_thread::get_id();
  stream->capture->members.insert(stream);
  stream->captured_tail.clear();
  call->captures.push_back(stream->capture.get());
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  const ApiCall call;
  *graph = nullptr;
  Stream* stream = call->streams.find(handle);
  if (stream == nullptr) return report(cudaErrorInvalidResourceHandle);
  const auto capture = stream->capture;
  if (capture == nullptr) return report(cudaErrorInvalidValue);
  if (capture->origin != stream) return report(cudaErrorStreamCaptureUnmatched);
  const bool complete = joined(*capture, *stream);
  capture->ended = true;
  std::erase(call->captures, capture.get());
  for (Stream* member : capture->members) {
    member->capture = nullptr;
    member->captured_tail.clear();
  }
  if (capture->invalid) return report(cudaErrorStreamCaptureInvalidated);
  if (!complete) return report(cudaErrorStreamCaptureUnjoined);
  call->graphs.push_back(std::make_unique<Graph>(std::move(capture->graph)));
  *graph = reinterpret_cast<cudaGraph_t>(call->graphs.back().get());
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  const ApiCall call;
  const Stream* stream = call->streams.find(handle);
  if (stream == nullptr) return report(cudaErrorInvalidResourceHandle);
  *status = stream->capture == nullptr ? cudaStreamCaptureStatusNone
            : stream->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                       : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t handle, unsigned long long /*flags*/) {
  const ApiCall call;
  const Graph* graph = find_in(call->graphs, handle);
  if (graph == nullptr) return report(cudaErrorInvalidValue);
  call->executables.push_back(std::make_unique<GraphExec>());
  call->executables.back()->graph = std::make_shared<const Graph>(*graph);
  *executable = reinterpret_cast<cudaGraphExec_t>(call->executables.back().get());
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream_handle) {
  const ApiCall call;
  GraphExec* executable = find_in(call->executables, handle);
  Stream* stream = call->streams.find(stream_handle);
  if (executable == nullptr || stream == nullptr) return report(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) {  // a graph as a node of another is not modelled
    stream->capture->invalid = true;
    return report(cudaErrorStreamCaptureUnsupported);
  }
  ++call->calls.graph_launches;
  call->streams.launch(*stream, *executable);
  call->limit_queue();
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) {
  const ApiCall call;
  const GraphExec* executable = find_in(call->executables, handle);
  if (executable == nullptr) return report(cudaErrorInvalidValue);
  std::erase_if(call->executables, [&](const auto& each) { return each.get() == executable; });
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t handle) {
  const ApiCall call;
  const Graph* graph = find_in(call->graphs, handle);
  if (graph == nullptr) return report(cudaErrorInvalidValue);
  std::erase_if(call->graphs, [&](const auto& each) { return each.get() == graph; });
  return cudaSuccess;
}

// ---- Errors --------------------------------------------------------------------------------------------------------

namespace {

struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};
constexpr ErrorText kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureMerge, "cudaErrorStreamCaptureMerge",
     "operation would result in a merge of separate capture sequences"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream as it began"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
};

const ErrorText* find_error(cudaError_t error) {
  const auto* found =
      std::find_if(std::begin(kErrors), std::end(kErrors), [&](const auto& e) { return e.error == error; });
  return found == std::end(kErrors) ? nullptr : found;
}

}  // namespace

const char* cudaGetErrorString(cudaError_t error) {
  const ErrorText* found = find_error(error);
  return found == nullptr ? "unrecognized error code" : found->text;
}
const char* cudaGetErrorName(cudaError_t error) {
  const ErrorText* found = find_error(error);
  return found == nullptr ? "unrecognized error code" : found->name;
}

}  // namespace simt::cuda
