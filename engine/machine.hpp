#pragma once
#include <cstdint>
#include <string>

namespace esmm {

/// The machine that this process runs on; what the system does not say is empty or 0.
struct Machine {
  std::string processor;  // "AMD EPYC 9R14"
  int cores = 0;          // that this process may use
  std::uint64_t memory_bytes = 0;
  std::string system;  // "Linux 6.1.0"
};
[[nodiscard]] Machine this_machine();

}  // namespace esmm
