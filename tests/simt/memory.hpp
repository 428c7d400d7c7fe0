#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace simt {

/// Device memory: one reserved range of addresses that can be touched only while kernels and copies run, so that a host
/// access crashes at once. Allocations are apart by guard bytes and filled with 0xFF (not a number). An address is not
/// used again soon.
class DeviceMemory {
 public:
  DeviceMemory();
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  /// Opens the memory to this process for a scope. Scopes nest.
  class Open {
   public:
    explicit Open(DeviceMemory& memory) : memory_(memory) { memory_.open(); }
    ~Open() { memory_.close(); }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    DeviceMemory& memory_;
  };

  /// 256-byte aligned; null where `limit()` would be exceeded.
  [[nodiscard]] void* allocate(std::size_t bytes);
  [[nodiscard]] bool owns(const void* pointer) const { return allocations_.contains(pointer); }
  void release(void* pointer);

  /// Whether the range lies within one allocation.
  [[nodiscard]] bool contains(const void* from, std::size_t bytes) const;
  /// Whether the address is of the device at all.
  [[nodiscard]] bool is_device(const void* address) const { return address >= begin_ && address < begin_ + reserved_; }
  /// "device allocation 3 of 400 bytes, offset 404"
  [[nodiscard]] std::string describe(const void* address) const;
  /// What was written outside of the allocations, or "" (memory must be open).
  [[nodiscard]] std::string damage() const;

  [[nodiscard]] std::size_t used() const { return used_; }
  [[nodiscard]] std::size_t limit() const { return limit_; }
  void set_limit(std::size_t bytes) { limit_ = bytes; }
  [[nodiscard]] const std::byte* begin() const { return begin_; }
  [[nodiscard]] std::size_t reserved() const { return reserved_; }

 private:
  struct Allocation {
    std::size_t bytes = 0;
    std::int64_t number = 0;
  };
  void open();
  void close();
  bool extend(std::size_t bytes);
  [[nodiscard]] std::map<const void*, Allocation>::const_iterator below(const void* address) const;

  void* mapping_ = nullptr;
  std::byte* begin_ = nullptr;
  std::size_t reserved_ = 0;
  std::size_t usable_ = 0;  // the part that open() opens
  std::size_t top_ = 0;     // the part that has been allocated
  std::size_t used_ = 0;
  std::size_t limit_;
  int open_ = 0;
  std::int64_t next_number_ = 1;
  std::map<const void*, Allocation> allocations_;
};

/// Page-locked host memory: heap blocks with guard bytes, filled with 0xFF.
class PinnedMemory {
 public:
  ~PinnedMemory();
  [[nodiscard]] void* allocate(std::size_t bytes);
  [[nodiscard]] bool owns(const void* pointer) const { return blocks_.contains(pointer); }
  void release(void* pointer);
  [[nodiscard]] bool contains(const void* from, std::size_t bytes) const;
  [[nodiscard]] std::string damage() const;

 private:
  std::map<const void*, std::size_t> blocks_;
};

}  // namespace simt
