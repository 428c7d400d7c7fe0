#include "io/messages.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace esmm {
namespace {

constexpr std::size_t kLongestQuote = 60;
constexpr std::size_t kLongestList = 30;

/// Bytes of the printable character that `text` begins with; 0 if its first byte is unprintable or not UTF-8.
std::size_t printable_length(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return first >= 0x20 && first != 0x7F ? 1 : 0;
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80; };
  return std::all_of(text.begin() + 1, text.begin() + static_cast<std::ptrdiff_t>(length), continues) ? length : 0;
}

}  // namespace

std::string in_quotes(std::string_view text) {
  std::string result = "\"";
  std::size_t at = 0;
  while (at < std::min(text.size(), kLongestQuote)) {
    const std::size_t length = printable_length(text.substr(at));
    if (length == 0) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[at]));
    } else {
      result += text.substr(at, length);
    }
    at += std::max<std::size_t>(length, 1);
  }
  return result + (at < text.size() ? "…\"" : "\"");
}

std::string listed(const std::vector<std::string>& names) {
  const std::size_t shown = std::min(names.size(), kLongestList);
  std::string result;
  for (std::size_t i = 0; i < shown; ++i) result += (i == 0 ? "" : ", ") + in_quotes(names[i]);
  if (shown < names.size()) result += fmt::format(" and {} more", names.size() - shown);
  return result;
}

BadRow bad_row(const Problem& problem, const std::string& file, std::uint64_t line) {
  return {problem.kind, fmt::format("{}:{}: {}. {}", file, line, problem.what, problem.remedy), line};
}

}  // namespace esmm
