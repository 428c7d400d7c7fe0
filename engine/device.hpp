#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/backend.hpp"

namespace esmm {

/// Throws Error (device) for a device that this build or machine lacks, Error (usage) for a name that is none.
void check_device(const std::string& device);

/// The backend for `--device`: auto and cpu give the CPU backend. Throws as check_device does.
[[nodiscard]] std::unique_ptr<Backend> make_backend(const std::string& device, int threads);

/// Throws Error (device) when `bytes` are more than the machine has free, saying what to lower.
void check_memory(std::int64_t bytes, const std::string& what);

}  // namespace esmm
