#include "engine/device.hpp"

#include <algorithm>
#include <fstream>

#include "kernels/error.hpp"

namespace esmm {

void check_device(const std::string& device) {
  if (device == "auto" || device == "cpu") return;
  if (device == "cuda" || device.starts_with("cuda:")) {
    throw device_error("--device {}: this build has no CUDA backend. Use --device cpu.", device);
  }
  throw usage_error("--device {}: unknown device. Use auto, cpu, cuda or cuda:N.", device);
}

std::unique_ptr<Backend> make_backend(const std::string& device, int threads) {
  check_device(device);
  return make_cpu_backend(threads);
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

}  // namespace esmm
