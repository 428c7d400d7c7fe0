#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/cuda/options.hpp"

// What the rest of the program sees of the GPU backend; no CUDA header is needed here.
namespace esmm {

struct DeviceInfo {
  std::string name;
  std::int64_t free_bytes = 0, total_bytes = 0;
};

namespace cuda {
/// The GPU backend. Everything it is given to do is enqueued; results depend on the card's model and the options, not
/// on timing. Throws Error (device, internal) when the device cannot be used.
[[nodiscard]] std::unique_ptr<Backend> make_backend(const DeviceOptions& options);
/// The GPUs that can be used; none without a driver.
[[nodiscard]] std::vector<DeviceInfo> devices();
}  // namespace cuda

/// The same sources compiled for the host; in tests only.
namespace simt {
[[nodiscard]] std::unique_ptr<Backend> make_backend(const DeviceOptions& options);
[[nodiscard]] std::vector<DeviceInfo> devices();
}  // namespace simt

}  // namespace esmm
