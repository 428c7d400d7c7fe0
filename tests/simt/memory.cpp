#include "tests/simt/memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <new>

#include "tests/simt/sanitizers.hpp"
#include "tests/simt/watch.hpp"

namespace simt {
namespace {

constexpr std::size_t kReserved = std::size_t{16} << 30;
constexpr std::size_t kReuseAbove = std::size_t{2} << 30;  // addresses start over, once nothing is allocated
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kAlignment = 256;
constexpr std::size_t kGuard = 256;  // at least, on each side
constexpr std::size_t kPinnedGuard = kAddressSanitizer ? 0 : 256;
constexpr int kFill = 0xFF;

std::size_t round_up(std::size_t bytes, std::size_t to) {
  return (bytes + to - 1) / to * to;
}

bool untouched(const std::byte* from, std::size_t bytes) {
  static constexpr auto kClean = [] {
    std::array<std::byte, 2 * kGuard> clean{};
    for (auto& byte : clean) byte = std::byte{kFill};
    return clean;
  }();
  return std::memcmp(from, kClean.data(), bytes) == 0;
}

}  // namespace

// ---- Device --------------------------------------------------------------------------------------------------------

DeviceMemory::DeviceMemory() : reserved_(kReserved), limit_(std::size_t{8} << 30) {
  mapping_ = mmap(nullptr, reserved_ + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping_ == MAP_FAILED) throw std::bad_alloc();
  const auto address = reinterpret_cast<std::uintptr_t>(mapping_);
  begin_ = static_cast<std::byte*>(mapping_) + (round_up(address, kHugePage) - address);
}

DeviceMemory::~DeviceMemory() {
  unpoison(begin_, usable_);
  munmap(mapping_, reserved_ + kHugePage);
}

void DeviceMemory::open() {
  if (open_++ == 0 && usable_ != 0 && mprotect(begin_, usable_, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
}

void DeviceMemory::close() {
  if (--open_ == 0 && usable_ != 0) mprotect(begin_, usable_, PROT_NONE);
}

/// Makes the first `bytes` of the range usable, in huge pages: opening and closing costs time per page.
bool DeviceMemory::extend(std::size_t bytes) {
  const std::size_t usable = round_up(bytes, kHugePage);
  if (usable > reserved_) return false;
  if (usable <= usable_) return true;
  std::byte* added = begin_ + usable_;
  madvise(added, usable - usable_, MADV_HUGEPAGE);
  if (open_ != 0 && mprotect(added, usable - usable_, PROT_READ | PROT_WRITE) != 0) return false;
  poison(added, usable - usable_);
  usable_ = usable;
  return true;
}

void* DeviceMemory::allocate(std::size_t bytes) {
  const std::size_t room = round_up(std::max<std::size_t>(bytes, 1), kAlignment);
  if (used_ + room > limit_) return nullptr;
  if (allocations_.empty() && top_ > kReuseAbove) {
    madvise(begin_, top_, MADV_DONTNEED);
    top_ = 0;
  }
  const std::size_t old_top = top_, end = top_ + kGuard + room + kGuard;
  if (!extend(end)) return nullptr;
  const Open scope(*this);
  std::byte* data = begin_ + old_top + kGuard;
  unpoison(begin_ + old_top, end - old_top);
  std::memset(begin_ + old_top, kFill, end - old_top);
  poison(begin_ + old_top, kGuard);
  poison(data + bytes, static_cast<std::size_t>(begin_ + end - (data + bytes)));
  top_ = end;
  allocations_[data] = {bytes, next_number_++};
  used_ += room;
  if (watch != nullptr) watch->allocated(data, bytes, false);
  return data;
}

void DeviceMemory::release(void* pointer) {
  const auto found = allocations_.find(pointer);
  const std::size_t bytes = found->second.bytes;
  const std::size_t room = round_up(std::max<std::size_t>(bytes, 1), kAlignment);
  allocations_.erase(found);
  used_ -= room;
  if (watch != nullptr) watch->released(pointer, bytes);
  const Open scope(*this);
  std::memset(pointer, kFill, bytes);
  poison(pointer, bytes);
}

std::map<const void*, DeviceMemory::Allocation>::const_iterator DeviceMemory::below(const void* address) const {
  auto next = allocations_.upper_bound(address);
  return next == allocations_.begin() ? allocations_.end() : std::prev(next);
}

bool DeviceMemory::contains(const void* from, std::size_t bytes) const {
  const auto found = below(from);
  if (found == allocations_.end()) return false;
  const auto offset =
      static_cast<std::size_t>(static_cast<const std::byte*>(from) - static_cast<const std::byte*>(found->first));
  return offset + bytes <= found->second.bytes;
}

std::string DeviceMemory::describe(const void* address) const {
  const auto found = below(address);
  if (found == allocations_.end()) return "device memory that is not allocated";
  const auto offset = static_cast<const std::byte*>(address) - static_cast<const std::byte*>(found->first);
  return "device allocation " + std::to_string(found->second.number) + " of " + std::to_string(found->second.bytes) +
         " bytes, offset " + std::to_string(offset);
}

std::string DeviceMemory::damage() const {
  if constexpr (kAddressSanitizer) return "";
  for (const auto& [data, allocation] : allocations_) {
    const auto* from = static_cast<const std::byte*>(data);
    const std::size_t slack = round_up(allocation.bytes, kAlignment) - allocation.bytes;
    if (!untouched(from - kGuard, kGuard)) return "wrote below " + describe(data);
    if (!untouched(from + allocation.bytes, slack + kGuard)) return "wrote past " + describe(from + allocation.bytes);
  }
  return "";
}

// ---- Pinned --------------------------------------------------------------------------------------------------------

PinnedMemory::~PinnedMemory() {
  for (const auto& [data, bytes] : blocks_) std::free(static_cast<std::byte*>(const_cast<void*>(data)) - kPinnedGuard);
}

void* PinnedMemory::allocate(std::size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, kAlignment, bytes + 2 * kPinnedGuard) != 0) return nullptr;
  std::memset(memory, kFill, bytes + 2 * kPinnedGuard);
  std::byte* data = static_cast<std::byte*>(memory) + kPinnedGuard;
  blocks_[data] = bytes;
  return data;
}

void PinnedMemory::release(void* pointer) {
  blocks_.erase(pointer);
  std::free(static_cast<std::byte*>(pointer) - kPinnedGuard);
}

bool PinnedMemory::contains(const void* from, std::size_t bytes) const {
  auto next = blocks_.upper_bound(from);
  if (next == blocks_.begin()) return false;
  const auto found = std::prev(next);
  const auto offset =
      static_cast<std::size_t>(static_cast<const std::byte*>(from) - static_cast<const std::byte*>(found->first));
  return offset < found->second && offset + bytes <= found->second;
}

std::string PinnedMemory::damage() const {
  for (const auto& [data, bytes] : blocks_) {
    const auto* from = static_cast<const std::byte*>(data);
    if (!untouched(from - kPinnedGuard, kPinnedGuard)) return "wrote below a pinned buffer";
    if (!untouched(from + bytes, kPinnedGuard))
      return "wrote past the end of a pinned buffer of " + std::to_string(bytes) + " bytes";
  }
  return "";
}

}  // namespace simt
