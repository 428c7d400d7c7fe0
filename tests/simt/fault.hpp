#pragma once
#include <stdexcept>
#include <string>

namespace simt {

/// A mistake of device code or of its host side. Thrown by the next host call that synchronises.
class Fault : public std::runtime_error {
 public:
  Fault(std::string kernel_name, std::string block_index, std::string thread_index, std::string what_happened);

  [[nodiscard]] const std::string& kernel() const noexcept { return kernel_; }    // "" outside of kernels
  [[nodiscard]] const std::string& block() const noexcept { return block_; }      // "(2, 0, 0)"
  [[nodiscard]] const std::string& thread() const noexcept { return thread_; }    // "(31, 0, 0)"
  [[nodiscard]] const std::string& message() const noexcept { return message_; }  // without the place

 private:
  std::string kernel_, block_, thread_, message_;
};

/// A mistake outside of any kernel.
[[nodiscard]] inline Fault host_fault(std::string message) {
  return {"", "", "", std::move(message)};
}

}  // namespace simt
