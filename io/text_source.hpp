#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/byte_stream.hpp"

namespace esmm {

/// Whole lines of a text file. Readable zero bytes follow the text, so that scanners may load a word at its end.
struct TextChunk {
  static constexpr std::size_t kPadding = 32;
  std::vector<char> bytes;  // [size + kPadding] or more
  std::size_t begin = 0;    // a byte order mark is skipped
  std::size_t end = 0;
  std::uint64_t first_line = 1;  // counting from 1
  std::uint64_t first_row = 0;   // lines before that are not blank
  [[nodiscard]] std::string_view text() const { return {bytes.data() + begin, end - begin}; }
};

/// Cuts the (decompressed) bytes of a file into chunks at line ends.
class TextSource {
 public:
  static constexpr std::size_t kChunkBytes = std::size_t{4} << 20;
  static constexpr std::size_t kLongestLine = std::size_t{64} << 20;

  /// `name` stands for the file in messages about its lines.
  TextSource(const std::string& path, std::string name, std::size_t chunk_bytes = kChunkBytes);

  /// The next chunk, reusing its memory; false at the end. Throws Error (data) for binary files and endless lines, and
  /// whatever ByteStream throws.
  [[nodiscard]] bool next(TextChunk& chunk);

 private:
  void check_is_text(const TextChunk& chunk) const;

  std::unique_ptr<ByteStream> stream_;
  std::string name_;
  std::size_t chunk_bytes_;
  std::vector<char> unfinished_line_;
  std::uint64_t next_line_ = 1;
  std::uint64_t next_row_ = 0;
  bool at_start_ = true;
  bool at_end_ = false;
};

/// The next line of `rest` without its \n or \r\n; takes it off `rest`. Requires a non-empty `rest`.
[[nodiscard]] std::string_view take_line(std::string_view& rest);

}  // namespace esmm
