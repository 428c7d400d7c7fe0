#include "engine/device.hpp"

#include <algorithm>
#include <fstream>
#include <optional>

#include "kernels/cuda/make_backend.hpp"
#include "kernels/error.hpp"

namespace esmm {

namespace {

#if defined(ESMM_WITH_CUDA)
int gpu_count() {
  return cuda::device_count();
}
std::int64_t free_gpu_memory(int gpu) {
  return cuda::free_memory(gpu);
}
std::unique_ptr<Backend> make_gpu_backend(const DeviceOptions& options) {
  return cuda::make_backend(options);
}
constexpr const char* kWhyNone = "no CUDA device was found (nvidia-smi lists them)";
#else
int gpu_count() {
  return 0;
}
std::int64_t free_gpu_memory(int) {
  return 0;
}
std::unique_ptr<Backend> make_gpu_backend(const DeviceOptions&) {
  return nullptr;
}
constexpr const char* kWhyNone = "this build has no CUDA backend (nvcc was not found when it was configured)";
#endif

/// The number of the GPU that `device` means; nullopt for the CPU. Throws as check_device does.
std::optional<int> gpu_number(const std::string& device) {
  if (device == "cpu") return std::nullopt;
  const bool numbered = device.starts_with("cuda:");
  if (device != "auto" && device != "cuda" && !numbered) {
    throw usage_error("--device {}: unknown device. Use auto, cpu, cuda or cuda:N.", device);
  }
  const int count = gpu_count();
  if (device == "auto") return count > 0 ? std::optional(0) : std::nullopt;
  if (count == 0) throw device_error("--device {}: {}. Use --device cpu.", device, kWhyNone);
  const int number = numbered ? std::stoi(device.substr(5)) : 0;
  if (number >= count) throw device_error("--device {}: there are {} CUDA devices, from cuda:0 on.", device, count);
  return number;
}

}  // namespace

void check_device(const std::string& device, Precision precision) {
  if (!gpu_number(device) && precision == Precision::bf16 && !cpu_multiplies_bf16()) {
    throw usage_error("--precision: this CPU has no AVX512-BF16: fp32 is faster on it. Use fp32, or --device cuda.");
  }
}

std::unique_ptr<Backend> make_backend(const std::string& device, int threads, Precision precision,
                                      TowerKernels towers) {
  check_device(device, precision);
  const std::optional<int> gpu = gpu_number(device);
  if (!gpu) return make_cpu_backend(threads, precision);
  return make_gpu_backend({.device = *gpu, .precision = precision, .towers = towers});
}

namespace {

std::int64_t read_number(const char* path) {
  std::int64_t value = 0;
  std::ifstream(path) >> value;  // "max" and a missing file give 0
  return value;
}

/// What is left under the control group's limit (containers); 0 when there is none.
std::int64_t available_in_group() {
  const std::int64_t limit = read_number("/sys/fs/cgroup/memory.max");
  return limit == 0 ? 0 : std::max<std::int64_t>(1, limit - read_number("/sys/fs/cgroup/memory.current"));
}

/// What the kernel believes can be allocated without swapping; 0 when it does not say.
std::int64_t available_on_machine() {
  std::ifstream meminfo("/proc/meminfo");
  std::string key, unit;
  std::int64_t kilobytes = 0;
  while (meminfo >> key >> kilobytes) {
    if (key == "MemAvailable:") return kilobytes * 1024;
    std::getline(meminfo, unit);
  }
  return 0;
}

std::int64_t available_memory() {
  const std::int64_t machine = available_on_machine(), group = available_in_group();
  return machine == 0 || group == 0 ? std::max(machine, group) : std::min(machine, group);
}

}  // namespace

void check_memory(std::int64_t bytes, const std::string& what) {
  const std::int64_t available = available_memory();
  if (available == 0 || bytes <= available) return;
  throw device_error(
      "{} needs about {:.1f} GB and {:.1f} GB are free. Lower --dim or --batch-size, raise --min-count, choose an "
      "optimizer with less state (sgd, rowwise_adagrad), or lower --window-mb.",
      what, static_cast<double>(bytes) * 1e-9, static_cast<double>(available) * 1e-9);
}

std::int64_t free_device_memory(const std::string& device) {
  const std::optional<int> gpu = gpu_number(device);
  return gpu ? free_gpu_memory(*gpu) : 0;
}

void check_device_memory(const std::string& device, std::int64_t bytes, const std::string& what) {
  if (!gpu_number(device)) return;
  const std::int64_t available = free_device_memory(device);
  if (bytes <= available) return;
  throw device_error(
      "{} needs about {:.1f} GB of GPU memory and {:.1f} GB are free. Lower --dim or --batch-size, raise --min-count, "
      "or "
      "choose an optimizer with less state (sgd, rowwise_adagrad).",
      what, static_cast<double>(bytes) * 1e-9, static_cast<double>(available) * 1e-9);
}

}  // namespace esmm
