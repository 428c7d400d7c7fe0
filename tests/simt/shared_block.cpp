#include "tests/simt/shared_block.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "tests/simt/sanitizers.hpp"
#include "tests/simt/watch.hpp"

namespace simt {
namespace {

constexpr std::size_t kSharedAlignment = 128;
constexpr std::size_t kSharedGuard = kAddressSanitizer ? 0 : 1024;
constexpr int kSharedFill = 0xFF;  // not a number in every floating-point type

std::byte* allocate(std::size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, kSharedAlignment, bytes) != 0) throw std::bad_alloc();
  return static_cast<std::byte*>(memory);
}

bool still_filled(const std::byte* from, std::size_t bytes) {
  return std::all_of(from, from + bytes, [](std::byte value) { return value == std::byte{kSharedFill}; });
}

}  // namespace

SharedBlock::~SharedBlock() {
  release();
}

void SharedBlock::release() {
  std::free(memory_);
  memory_ = nullptr;
}

void SharedBlock::begin(std::size_t bytes) {
  bytes_ = bytes;
  data_ = nullptr;
  if (bytes == 0) return;
  if (kAddressSanitizer || capacity_ < bytes) {
    release();
    memory_ = allocate(bytes + 2 * kSharedGuard);
    capacity_ = bytes;
  }
  data_ = memory_ + kSharedGuard;
  std::memset(memory_, kSharedFill, bytes + 2 * kSharedGuard);
  if (watch != nullptr) watch->allocated(data_, bytes, true);
}

const char* SharedBlock::end() {
  if (data_ == nullptr) return nullptr;
  if (watch != nullptr) watch->released(data_, bytes_);
  if (!still_filled(data_ - kSharedGuard, kSharedGuard)) return "wrote below the shared memory";
  if (!still_filled(data_ + bytes_, kSharedGuard)) return "wrote past the end of the shared memory";
  return nullptr;
}

}  // namespace simt
