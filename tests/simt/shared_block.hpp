#pragma once
#include <cstddef>
#include <cstdint>

namespace simt {

/// The shared memory of one block after the other. Under AddressSanitizer each is a heap block of its own; else there
/// are guard bytes on both sides, checked when the block ends.
class SharedBlock {
 public:
  SharedBlock() = default;
  ~SharedBlock();
  SharedBlock(const SharedBlock&) = delete;
  SharedBlock& operator=(const SharedBlock&) = delete;

  void begin(std::size_t bytes);
  /// Null where the guards are whole, else what was hit.
  [[nodiscard]] const char* end();

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  void release();

  std::byte* memory_ = nullptr;  // with the guards
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace simt
