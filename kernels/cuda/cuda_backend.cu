#include "kernels/cuda/cuda_backend.hpp"

#include "kernels/cuda/make_backend.hpp"

namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

class DeviceFence final : public Fence {
 public:
  void wait() override { event.wait(); }
  Event event;
};

__global__ void copy_elements(MatrixView<const float> from, MatrixView<float> to) {
  const std::int64_t count = from.rows * from.cols;
  for (std::int64_t i = grid_thread(); i < count; i += grid_threads()) {
    to(i / from.cols, i % from.cols) = from(i / from.cols, i % from.cols);
  }
}

/// Makes the device current for this thread before any of the backend's members touch it.
std::string select_device(int device) {
  check(cudaSetDevice(device), "cudaSetDevice");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  return properties.name;
}

}  // namespace

CudaBackend::CudaBackend(const DeviceOptions& options)
    : name_(select_device(options.device)), towers_(queue_, memory_, options) {}

CudaBackend::~CudaBackend() = default;

void CudaBackend::synchronise() {
  work_.synchronise();
}

void CudaBackend::copy(void* to, const void* from, std::size_t bytes) {
  queue_.enqueue([&](cudaStream_t stream) {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "copy on the device");
  });
}
void CudaBackend::upload(void* to, const void* from, std::size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, copies_.get()), "upload");
}

std::unique_ptr<Fence> CudaBackend::make_fence() {
  return std::make_unique<DeviceFence>();
}
void CudaBackend::record(Queue queue, Fence& fence) {
  (queue == Queue::work ? work_ : copies_).record(static_cast<DeviceFence&>(fence).event);
}
void CudaBackend::wait(Queue queue, Fence& fence) {
  (queue == Queue::work ? work_ : copies_).wait(static_cast<DeviceFence&>(fence).event);
}
void CudaBackend::replay(const ReplayKey& key, void (*enqueue)(void*), void* context) {
  queue_.replay(key, enqueue, context);
}

std::string CudaBackend::replay_summary() const {
  const ReplayCounts& counts = queue_.counts();
  return fmt::format("steps enqueued: {} call by call, {} recorded as CUDA graphs, {} replayed", counts.direct,
                     counts.captured, counts.replayed);
}
TowerChoice CudaBackend::choose_towers(const TowerShape& shape, std::int64_t impressions, std::int64_t common_rows,
                                       bool dropout) {
  towers_.calibrate(shape, impressions, common_rows, dropout);
  return {towers_.chosen(), towers_.choice(), towers_.warning()};
}

void CudaBackend::copy_matrix(MatrixView<const float> from, MatrixView<float> to) {
  queue_.launch<copy_elements>(thread_per_item(from.rows * from.cols), from, to);
}

std::unique_ptr<Backend> make_backend(const DeviceOptions& options) {
  return std::make_unique<CudaBackend>(options);
}

int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {  // no driver, or no device
    (void)cudaGetLastError();
    return 0;
  }
  return count;
}

std::int64_t free_memory(int device) {
  std::size_t free = 0, total = 0;
  check(cudaSetDevice(device), "cudaSetDevice");
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return static_cast<std::int64_t>(free);
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
