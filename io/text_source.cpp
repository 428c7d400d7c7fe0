#include "io/text_source.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/error.hpp"

namespace esmm {

std::string_view take_line(std::string_view& rest) {
  const auto* const newline = static_cast<const char*>(std::memchr(rest.data(), '\n', rest.size()));
  std::string_view line = rest;
  if (newline != nullptr) line = rest.substr(0, static_cast<std::size_t>(newline - rest.data()));
  rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

TextSource::TextSource(const std::string& path, std::string name, std::size_t chunk_bytes)
    : stream_(open_bytes(path)), name_(std::move(name)), chunk_bytes_(chunk_bytes) {}

bool TextSource::next(TextChunk& chunk) {
  std::size_t size = unfinished_line_.size();
  std::size_t target = std::max(chunk_bytes_, size);
  chunk.bytes.resize(std::max(chunk.bytes.size(), target + TextChunk::kPadding));
  std::copy(unfinished_line_.begin(), unfinished_line_.end(), chunk.bytes.begin());
  unfinished_line_.clear();
  chunk.begin = 0;
  chunk.end = 0;
  while (chunk.end == 0) {
    if (!at_end_) size += stream_->read(chunk.bytes.data() + size, target - size);
    at_end_ = at_end_ || size < target;
    if (size == 0) return false;
    const void* const newline = ::memrchr(chunk.bytes.data(), '\n', size);
    if (at_end_) {
      chunk.end = size;
    } else if (newline != nullptr) {
      chunk.end = static_cast<std::size_t>(static_cast<const char*>(newline) - chunk.bytes.data()) + 1;
    } else if (size > kLongestLine) {
      throw data_error("{}:{}: a line of more than {} MB: this is not a log of one impression per line.", name_,
                       next_line_, kLongestLine >> 20U);
    } else {
      target *= 2;
      chunk.bytes.resize(target + TextChunk::kPadding);
    }
  }
  const auto cut = chunk.bytes.begin() + static_cast<std::ptrdiff_t>(chunk.end);
  unfinished_line_.assign(cut, chunk.bytes.begin() + static_cast<std::ptrdiff_t>(size));
  std::fill_n(cut, TextChunk::kPadding, '\0');
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (at_start_ && chunk.text().substr(0, 3) == byte_order_mark) chunk.begin = 3;
  at_start_ = false;

  chunk.first_line = next_line_;
  chunk.first_row = next_row_;
  check_is_text(chunk);
  for (std::string_view rest = chunk.text(); !rest.empty(); ++next_line_) {
    if (!take_line(rest).empty()) ++next_row_;
  }
  return true;
}

void TextSource::check_is_text(const TextChunk& chunk) const {
  const std::string_view text = chunk.text();
  const auto* const zero = static_cast<const char*>(std::memchr(text.data(), '\0', text.size()));
  if (zero == nullptr) return;
  const auto line = static_cast<std::uint64_t>(std::count(text.data(), zero, '\n')) + next_line_;
  throw data_error("{}:{}: contains NUL bytes, so it is not a text log. Check the path, or decompress the file.", name_,
                   line);
}

}  // namespace esmm
