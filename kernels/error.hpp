#pragma once
#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace esmm {

/// The program's exit codes; every Error carries the one it ends the program with.
enum class ExitCode : int { ok = 0, internal = 1, usage = 2, data = 3, device = 4, io = 5, interrupted = 130 };

/// The only exception type thrown on purpose. `what()` is one line: where (file:line), what, and what to do about it.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

/// Bad flag, configuration key or combination of them (exit 2).
template <class... Args>
[[nodiscard]] Error usage_error(fmt::format_string<Args...> format, Args&&... args) {
  return {ExitCode::usage, fmt::format(format, std::forward<Args>(args)...)};
}
/// Input that breaks its format or contradicts the run (exit 3).
template <class... Args>
[[nodiscard]] Error data_error(fmt::format_string<Args...> format, Args&&... args) {
  return {ExitCode::data, fmt::format(format, std::forward<Args>(args)...)};
}
/// A device that is missing or has too little memory (exit 4).
template <class... Args>
[[nodiscard]] Error device_error(fmt::format_string<Args...> format, Args&&... args) {
  return {ExitCode::device, fmt::format(format, std::forward<Args>(args)...)};
}
/// The operating system refused to read or write (exit 5).
template <class... Args>
[[nodiscard]] Error io_error(fmt::format_string<Args...> format, Args&&... args) {
  return {ExitCode::io, fmt::format(format, std::forward<Args>(args)...)};
}
/// A broken promise inside the program (exit 1).
template <class... Args>
[[nodiscard]] Error internal_error(fmt::format_string<Args...> format, Args&&... args) {
  return {ExitCode::internal, fmt::format(format, std::forward<Args>(args)...)};
}

}  // namespace esmm
