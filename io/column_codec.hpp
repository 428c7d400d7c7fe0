#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <zstd.h>

#include "io/hash_index.hpp"

namespace esmm {

/// Appends coded columns to a byte string. Keeps its compressor and scratch memory from column to column.
///
/// Integers are split into a symbol byte and raw low bits, as in JPEG XL's hybrid integers: values below 32 are their
/// own symbol; above, the symbol holds the bit length and the three bits after the leading one, and the remaining bits
/// are stored as they are. Symbols are entropy-coded by zstd. docs/data_format.md has the layout.
class ColumnEncoder {
 public:
  ColumnEncoder();
  void integers(std::span<const std::uint32_t> values);
  void integers64(std::span<const std::uint64_t> values);
  /// Distinct values and codes, or raw when there are too many of them. Bit patterns are kept.
  void floats(std::span<const float> values);
  void bytes(std::span<const std::byte> values);
  template <class T>
  void number(T value) {
    const auto raw = std::as_bytes(std::span(&value, 1));
    out_.insert(out_.end(), raw.begin(), raw.end());
  }
  /// What was appended since the last call.
  [[nodiscard]] std::vector<std::byte> take() { return std::exchange(out_, {}); }

 private:
  struct Distinct {
    std::uint32_t bits = 0, count = 0;
    std::uint32_t number = 0;  // in order of first appearance
  };
  /// Fills distinct_, and codes_ with the number of each value. False if there are more than `limit`.
  bool count_distinct(std::span<const float> values, std::size_t limit);

  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context_;
  std::vector<std::byte> out_;
  std::vector<std::byte> symbols_, bits_;  // as long as the longest column yet
  std::vector<std::uint32_t> codes_, half_;
  HashIndex<std::uint64_t> number_of_;
  std::vector<Distinct> distinct_;
};

/// Where a block lies, for messages.
struct BlockPlace {
  const std::string& file;
  std::size_t block = 0;
  std::uint64_t offset = 0;  // of its first byte in the file
};

/// Reads what ColumnEncoder wrote. Checks everything before it allocates or writes; throws Error (data) naming the
/// place.
class ColumnDecoder {
 public:
  ColumnDecoder(std::span<const std::byte> bytes, const BlockPlace& place);
  void integers(std::size_t count, std::vector<std::uint32_t>& out);
  void integers64(std::size_t count, std::vector<std::uint64_t>& out);
  void floats(std::size_t count, std::vector<float>& out);
  /// `out` is resized to the length found; longer than `limit` is an error.
  void bytes(std::size_t limit, std::vector<char>& out);
  template <class T>
  [[nodiscard]] T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  [[nodiscard]] std::size_t remaining() const { return bytes_.size() - at_; }
  [[noreturn]] void fail(const std::string& what) const;

  /// No column holds more elements per byte than this (zstd spends at least 4 bytes on 128 KiB).
  static constexpr std::uint64_t kMostPerByte = 1U << 15;

 private:
  std::span<const std::byte> take(std::size_t count);
  void frame(std::size_t frame_bytes, std::size_t count, void* out);

  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context_;
  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
  const BlockPlace& place_;
  std::vector<std::uint8_t> symbols_;
  std::vector<std::uint32_t> codes_, half_;
};

}  // namespace esmm
