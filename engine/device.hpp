#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/backend.hpp"
#include "kernels/cuda/options.hpp"

namespace esmm {

/// Throws Error (device) for a device that this build or machine lacks; Error (usage) for a name that is none, and for
/// bf16 on a CPU that does not multiply it.
void check_device(const std::string& device, Precision precision);

/// The backend for `--device`: a GPU for cuda and cuda:N, the CPU for cpu, and for auto the first GPU where there is
/// one, else the CPU. Throws as check_device does.
[[nodiscard]] std::unique_ptr<Backend> make_backend(const std::string& device, int threads,
                                                    Precision precision = Precision::fp32,
                                                    TowerKernels towers = TowerKernels::measured);

/// Throws Error (device) when `bytes` are more than the machine has free, saying what to lower.
void check_memory(std::int64_t bytes, const std::string& what);
/// The same for the memory of the GPU that `device` means; nothing where that is the CPU.
void check_device_memory(const std::string& device, std::int64_t bytes, const std::string& what);

/// Bytes that are free on the GPU that `device` means; 0 where that is the CPU.
[[nodiscard]] std::int64_t free_device_memory(const std::string& device);

}  // namespace esmm
