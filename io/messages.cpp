#include "io/messages.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace esmm {
namespace {

constexpr std::size_t kLongestQuote = 60;
constexpr std::size_t kLongestList = 30;

}  // namespace

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text.substr(0, kLongestQuote)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      result += fmt::format("\\x{:02x}", byte);
    } else {
      result += c;
    }
  }
  return result + (text.size() > kLongestQuote ? "…\"" : "\"");
}

std::string listed(const std::vector<std::string>& names) {
  const std::size_t shown = std::min(names.size(), kLongestList);
  std::string result;
  for (std::size_t i = 0; i < shown; ++i) result += (i == 0 ? "" : ", ") + quoted(names[i]);
  if (shown < names.size()) result += fmt::format(" and {} more", names.size() - shown);
  return result;
}

BadRow bad_row(const Problem& problem, const std::string& file, std::uint64_t line) {
  return {problem.kind, fmt::format("{}:{}: {}. {}", file, line, problem.what, problem.remedy), line};
}

}  // namespace esmm
