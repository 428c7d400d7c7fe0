#include "kernels/cuda/runtime.hpp"

#include <new>

namespace esmm::ESMM_DEVICE_NAMESPACE {

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // errors that leave the device usable must not surface again
  if (status == cudaErrorMemoryAllocation) {
    throw device_error("{}: the GPU is out of memory. Lower --batch-size or --dim, or raise --min-count.", what);
  }
  throw internal_error("{}: {}", what, cudaGetErrorString(status));
}

Event::Event() {
  check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreate");
}
Event::~Event() {
  if (event_ != nullptr) (void)cudaEventDestroy(event_);
}
void Event::wait() const {
  check(cudaEventSynchronize(event_), "cudaEventSynchronize");
}

Stream::Stream() {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
}
Stream::~Stream() {
  (void)cudaStreamDestroy(stream_);
}
void Stream::record(const Event& event) const {
  check(cudaEventRecord(event.get(), stream_), "cudaEventRecord");
}
void Stream::wait(const Event& event) const {
  check(cudaStreamWaitEvent(stream_, event.get(), 0), "cudaStreamWaitEvent");
}
void Stream::synchronise() const {
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

void* DeviceMemory::allocate(std::size_t bytes) {
  void* pointer = nullptr;
  ++generation_;
  const cudaError_t status = cudaMalloc(&pointer, bytes == 0 ? 1 : bytes);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    throw device_error(
        "out of GPU memory: {} MB more could not be had. Lower --batch-size or --dim, raise --min-count,"
        " or choose an optimizer with less state (sgd, rowwise_adagrad).",
        bytes >> 20U);
  }
  check(status, "cudaMalloc");
  return pointer;
}
void DeviceMemory::release(void* pointer) noexcept {
  ++generation_;
  (void)cudaFree(pointer);
}
void DeviceMemory::copy_from_host(void* to, const void* from, std::size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_.get()), "copy to the device");
  stream_.synchronise();
}
void DeviceMemory::copy_to_host(void* to, const void* from, std::size_t bytes) const {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_.get()), "copy from the device");
  stream_.synchronise();
}
void DeviceMemory::zero(void* to, std::size_t bytes) {
  check(cudaMemsetAsync(to, 0, bytes, stream_.get()), "cudaMemsetAsync");
}
std::int64_t DeviceMemory::row_stride(std::int64_t columns) const {
  constexpr std::int64_t kSector = 8;  // floats
  if (columns >= kSector) return (columns + kSector - 1) / kSector * kSector;
  std::int64_t stride = columns == 0 ? 0 : 1;
  while (stride < columns) stride *= 2;
  return stride;
}

PinnedMemory::PinnedMemory() {
  check(cudaGetDevice(&device_), "cudaGetDevice");
}
void* PinnedMemory::do_allocate(std::size_t bytes, std::size_t) {
  void* pointer = nullptr;
  check(cudaSetDevice(device_), "cudaSetDevice");
  check(cudaMallocHost(&pointer, bytes), "page-locked host memory");  // aligned to pages
  return pointer;
}
void PinnedMemory::do_deallocate(void* pointer, std::size_t, std::size_t) {
  (void)cudaSetDevice(device_);
  (void)cudaFreeHost(pointer);
}

void Graph::begin_capture(const Stream& stream) {
  check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
}
Graph Graph::end_capture(const Stream& stream) {
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream.get(), &graph), "cudaStreamEndCapture");
  Graph result;
  const cudaError_t status = cudaGraphInstantiate(&result.executable_, graph, 0);
  (void)cudaGraphDestroy(graph);
  check(status, "cudaGraphInstantiate");
  return result;
}
void Graph::abandon_capture(const Stream& stream) noexcept {
  cudaGraph_t graph = nullptr;
  if (cudaStreamEndCapture(stream.get(), &graph) == cudaSuccess) (void)cudaGraphDestroy(graph);
  (void)cudaGetLastError();
}
Graph::~Graph() {
  if (executable_ != nullptr) (void)cudaGraphExecDestroy(executable_);
}
void Graph::launch(const Stream& stream) const {
  check(cudaGraphLaunch(executable_, stream.get()), "cudaGraphLaunch");
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
