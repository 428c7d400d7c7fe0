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

/// Features of one row as they lie in a token store: codes of ids (IdCodes) in the order of the text, cut into runs of
/// one field each; of the values only those that are not 1. Not aligned.
class TokenRow {
 public:
  TokenRow() = default;
  explicit TokenRow(const std::byte* data);
  [[nodiscard]] std::uint32_t size() const { return head_.features; }
  [[nodiscard]] std::uint32_t code(std::size_t i) const { return load<std::uint32_t>(codes_, i); }
  /// Calls visit(field, begin, end) for each run of features.
  template <class Visit>
  void for_each_run(const Visit& visit) const {
    std::size_t begin = 0;
    for (const std::byte* at = runs_; at != codes_;) {
      const std::size_t field = load_varint(at), features = load_varint(at);
      visit(field, begin, begin + features);
      begin += features;
    }
  }
  /// All values, resizing `out`.
  void copy_values(std::vector<float>& out) const;
  [[nodiscard]] const std::byte* end() const;

 private:
  friend void append_tokens(const FeatureRows& rows, std::size_t row, std::span<const std::uint32_t> codes,
                            std::vector<std::byte>& out);
  struct Head {
    std::uint32_t features = 0, run_bytes = 0, values = 0;  // values: those that are stored
  };
  template <class T>
  [[nodiscard]] static T load(const std::byte* column, std::size_t i) {
    T value;
    std::memcpy(&value, column + i * sizeof value, sizeof value);
    return value;
  }
  /// A number in bytes of seven bits, the lowest first, all but the last with the top bit set.
  [[nodiscard]] static std::size_t load_varint(const std::byte*& at) {
    auto byte = std::to_integer<std::size_t>(*at++);
    std::size_t value = byte & 0x7F;
    for (int shift = 7; byte >= 0x80; shift += 7) {
      byte = std::to_integer<std::size_t>(*at++);
      value |= (byte & 0x7F) << shift;
    }
    return value;
  }
  Head head_;
  const std::byte *runs_ = nullptr, *codes_ = nullptr;  // runs: pairs of field and number of features
  const std::byte* has_value_ = nullptr;                // a bit for each feature, if values are stored
  const std::byte* values_ = nullptr;
};

/// Appends row `row` of `rows`, whose features have the codes `codes`, to a token string.
void append_tokens(const FeatureRows& rows, std::size_t row, std::span<const std::uint32_t> codes,
                   std::vector<std::byte>& out);

struct ImpressionTokens {
  std::uint64_t input_index = 0;
  std::uint32_t common_row = 0;  // within its range
  std::uint8_t click = 0, conversion = 0;
  std::string_view sample_id;
  const std::byte* dense = nullptr;  // E floats
  TokenRow features;
};
void append_tokens(const ImpressionRows& rows, std::size_t row, std::span<const std::uint32_t> codes, std::size_t dense,
                   std::uint32_t common_row, std::uint64_t input_index, std::vector<std::byte>& out);

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
  /// Reads a range into the front of `memory`, which grows where it must. Safe from several threads. A range that was
  /// never appended to is empty.
  [[nodiscard]] std::span<const std::byte> read(std::size_t range, std::vector<std::byte>& memory) const;

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
