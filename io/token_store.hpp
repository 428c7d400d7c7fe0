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

namespace esmm {

/// Features of one row as they lie in a token store: in the order of the text, not aligned. Ids take 4 bytes each where
/// all of the row fit; of the values only those that are not 1 are there.
class TokenRow {
 public:
  TokenRow() = default;
  explicit TokenRow(const std::byte* data);
  [[nodiscard]] std::uint32_t size() const { return size_; }
  [[nodiscard]] std::uint16_t field(std::size_t i) const { return load<std::uint16_t>(fields_, i); }
  [[nodiscard]] std::uint64_t id(std::size_t i) const {
    return wide_ids_ ? load<std::uint64_t>(ids_, i) : load<std::uint32_t>(ids_, i);
  }
  /// All values, resizing `out`.
  void copy_values(std::vector<float>& out) const;
  [[nodiscard]] const std::byte* end() const { return end_; }

 private:
  template <class T>
  [[nodiscard]] static T load(const std::byte* column, std::size_t i) {
    T value;
    std::memcpy(&value, column + i * sizeof value, sizeof value);
    return value;
  }
  const std::byte *fields_ = nullptr, *ids_ = nullptr, *end_ = nullptr;
  const std::byte* values_ = nullptr;  // a bit for each feature, then the values of those that are not 1
  std::uint32_t size_ = 0;
  bool wide_ids_ = false;
};

/// Appends row `row` of `rows` to a token string.
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

/// Byte strings that grow in numbered ranges, kept in one nameless temporary file. Memory is bounded by one buffer per
/// range that is being appended to.
class TokenStore {
 public:
  explicit TokenStore(const std::string& directory);
  void set_buffer_bytes(std::size_t bytes) { buffer_bytes_ = bytes; }

  /// The end of a range, to be appended to; call `appended` after each row.
  [[nodiscard]] std::vector<std::byte>& end_of(std::size_t range);
  void appended(std::size_t range);
  /// Says that nothing more will be appended to a range: its buffer is freed.
  void finish(std::size_t range);
  /// Writes what is still in memory. To be called before reading.
  void flush();

  [[nodiscard]] std::size_t ranges() const { return ranges_.size(); }
  /// Safe from several threads. A range that was never appended to is empty.
  void read(std::size_t range, std::vector<std::byte>& out) const;

 private:
  struct Chunk {
    std::uint64_t offset = 0;
    std::size_t bytes = 0;
  };
  struct Range {
    std::vector<std::byte> buffer;
    std::vector<Chunk> chunks;
    std::uint64_t bytes = 0;  // in chunks
  };
  void write(Range& range);

  File file_;
  std::size_t buffer_bytes_ = 1U << 20;
  std::uint64_t end_ = 0;
  std::vector<Range> ranges_;
};

}  // namespace esmm
