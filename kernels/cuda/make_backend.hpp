#pragma once
#include <cstdint>
#include <memory>

#include "kernels/backend.hpp"
#include "kernels/cuda/options.hpp"

// What the rest of the program sees of the GPU backend; no CUDA header is needed here.
namespace esmm {

namespace cuda {
/// The GPU backend. Everything it is given to do is enqueued; results depend on the card's model and the options, not
/// on timing. Throws Error (device, internal) when the device cannot be used.
[[nodiscard]] std::unique_ptr<Backend> make_backend(const DeviceOptions& options);
/// How many GPUs can be used; 0 without a driver. Starts to use none of them.
[[nodiscard]] int device_count();
/// Bytes that are free on GPU `device`, which is the calling thread's GPU from then on.
[[nodiscard]] std::int64_t free_memory(int device);
}  // namespace cuda

/// The same sources compiled for the host; in tests only.
namespace simt {
[[nodiscard]] std::unique_ptr<Backend> make_backend(const DeviceOptions& options);
[[nodiscard]] int device_count();
[[nodiscard]] std::int64_t free_memory(int device);
}  // namespace simt

}  // namespace esmm
