#include "tests/simt/fault.hpp"

#include <utility>

namespace simt {
namespace {

std::string sentence(const std::string& kernel, const std::string& block, const std::string& thread,
                     const std::string& message) {
  std::string text;
  if (!kernel.empty()) text += kernel;
  if (!block.empty()) text += ", block " + block;
  if (!thread.empty()) text += ", thread " + thread;
  return text.empty() ? message : text + ": " + message;
}

}  // namespace

Fault::Fault(std::string kernel_name, std::string block_index, std::string thread_index, std::string what_happened)
    : std::runtime_error(sentence(kernel_name, block_index, thread_index, what_happened)),
      kernel_(std::move(kernel_name)),
      block_(std::move(block_index)),
      thread_(std::move(thread_index)),
      message_(std::move(what_happened)) {}

}  // namespace simt
