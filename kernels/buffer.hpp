#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace esmm {

/// Where a backend's buffers live. Allocation is 64-byte aligned; it throws Error (device) when memory runs out.
class Memory {
 public:
  virtual ~Memory() = default;
  [[nodiscard]] virtual void* allocate(std::size_t bytes) = 0;
  /// Work that was enqueued before may still use the memory: on a device it is freed in order with the work.
  virtual void release(void* pointer) noexcept = 0;
  /// Copies between the host and this memory; on a device they are ordered with the backend's work and synchronise.
  virtual void copy_from_host(void* to, const void* from, std::size_t bytes) = 0;
  virtual void copy_to_host(void* to, const void* from, std::size_t bytes) const = 0;
  virtual void zero(void* to, std::size_t bytes) = 0;
  /// Elements from one row of a float matrix to the next: padded to what this memory's loads like.
  [[nodiscard]] virtual std::int64_t row_stride(std::int64_t columns) const = 0;
};

/// Owns `size()` elements of trivially copyable T in a Memory. Move-only. A new buffer is zero-filled.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(Memory& memory, std::int64_t size) : memory_(&memory) { resize(size); }
  ~Buffer() { free(); }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  /// Makes room for `size` elements. Never shrinks the allocation; contents are lost (zeroed) when it has to grow.
  void resize(std::int64_t size) {
    if (size > capacity_) {
      const std::int64_t capacity = capacity_ == 0 ? size : size + size / 4;  // slack: batches differ in ids
      free();
      data_ = static_cast<T*>(memory_->allocate(static_cast<std::size_t>(capacity) * sizeof(T)));
      capacity_ = capacity;
      memory_->zero(data_, static_cast<std::size_t>(capacity) * sizeof(T));
    }
    size_ = size;
  }
  void zero() {
    if (size_ > 0) memory_->zero(data_, bytes());
  }
  void copy_from_host(std::span<const T> from) {
    if (!from.empty()) memory_->copy_from_host(data_, from.data(), from.size_bytes());
  }
  void copy_to_host(std::span<T> to) const {
    if (!to.empty()) memory_->copy_to_host(to.data(), data_, to.size_bytes());
  }

  [[nodiscard]] Memory& memory() const { return *memory_; }
  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(size_) * sizeof(T); }
  [[nodiscard]] std::span<T> span() const { return {data_, static_cast<std::size_t>(size_)}; }

 private:
  void free() noexcept {
    if (data_ != nullptr) memory_->release(data_);
    data_ = nullptr;
    capacity_ = size_ = 0;
  }
  void swap(Buffer& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

  Memory* memory_ = nullptr;
  T* data_ = nullptr;
  std::int64_t size_ = 0;
  std::int64_t capacity_ = 0;
};

}  // namespace esmm
