#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/file.hpp"
#include "io/rows.hpp"
#include "kernels/thread_pool.hpp"

namespace esmm {

/// Features of one row as they lie in a token store: in the order of the text, not aligned.
class TokenRow {
 public:
  TokenRow() = default;
  TokenRow(const std::byte* data, std::uint32_t size) : data_(data), size_(size) {}
  [[nodiscard]] std::uint32_t size() const { return size_; }
  [[nodiscard]] std::uint64_t id(std::size_t i) const { return load<std::uint64_t>(i * 8); }
  [[nodiscard]] float value(std::size_t i) const { return load<float>(size_ * std::size_t{8} + i * 4); }
  [[nodiscard]] std::uint16_t field(std::size_t i) const {
    return load<std::uint16_t>(size_ * std::size_t{12} + i * 2);
  }
  [[nodiscard]] std::size_t bytes() const { return size_ * std::size_t{14}; }

 private:
  template <class T>
  [[nodiscard]] T load(std::size_t offset) const {
    T value;
    std::memcpy(&value, data_ + offset, sizeof value);
    return value;
  }
  const std::byte* data_ = nullptr;
  std::uint32_t size_ = 0;
};

/// Appends row `row` of `rows` to a token string: its size, then its columns.
void append_tokens(const FeatureRows& rows, std::size_t row, std::vector<std::byte>& out);

struct ImpressionTokens {
  std::uint64_t input_index = 0;
  std::uint32_t common_row = 0;  // within its range
  std::uint8_t click = 0, conversion = 0;
  std::string_view sample_id;
  const std::byte* dense = nullptr;  // E floats
  TokenRow features;
};
void append_tokens(const ImpressionRows& rows, std::size_t row, std::size_t dense, std::uint32_t common_row,
                   std::uint64_t input_index, std::vector<std::byte>& out);

/// Reads back, advancing `at`.
[[nodiscard]] TokenRow read_token_row(std::span<const std::byte> tokens, std::size_t& at);
[[nodiscard]] ImpressionTokens read_impression_tokens(std::span<const std::byte> tokens, std::size_t dense,
                                                      std::size_t& at);

/// Byte strings that grow in numbered ranges, kept compressed in one nameless temporary file. Memory is bounded by one
/// buffer per range that is being appended to.
class TokenStore {
 public:
  TokenStore(const std::string& directory, ThreadPool& pool);
  void set_buffer_bytes(std::size_t bytes) { buffer_bytes_ = bytes; }

  /// The end of a range, to be appended to; call `appended` after each row.
  [[nodiscard]] std::vector<std::byte>& end_of(std::size_t range);
  void appended(std::size_t range);
  /// Says that nothing more will be appended to a range: its buffer is freed.
  void finish(std::size_t range);
  /// Writes what is still in memory. To be called before reading.
  void flush();

  [[nodiscard]] std::size_t ranges() const { return ranges_.size(); }
  [[nodiscard]] std::uint64_t bytes(std::size_t range) const { return ranges_[range].bytes; }
  /// Safe from several threads. A range that was never appended to is empty.
  void read(std::size_t range, std::vector<std::byte>& out) const;

 private:
  struct Chunk {
    std::uint64_t offset = 0;
    std::size_t stored = 0, bytes = 0;
  };
  struct Range {
    std::vector<std::byte> buffer;
    std::vector<Chunk> chunks;
    std::uint64_t bytes = 0;  // in chunks
  };
  struct Full {
    std::size_t range = 0;
    std::vector<std::byte> raw, compressed;
  };
  void close_buffer(std::size_t range);
  void write_full();

  File file_;
  ThreadPool& pool_;
  std::size_t buffer_bytes_ = 1U << 20;
  std::uint64_t end_ = 0;
  std::vector<Range> ranges_;
  std::vector<Full> full_;                     // buffers waiting to be written
  std::vector<std::vector<std::byte>> spare_;  // empty buffers to be used again
  std::size_t full_bytes_ = 0;
};

}  // namespace esmm
