#pragma once
#include <cstdint>
#include <string>

namespace simt {

/// Where the running program was loaded.
[[nodiscard]] std::uintptr_t program_base();
/// "loss.cu:31" of a return address in the program, by way of addr2line; its number where that cannot tell.
[[nodiscard]] std::string source_place(std::uintptr_t return_address);

}  // namespace simt
