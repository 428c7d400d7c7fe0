#include "io/messages.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

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

/// Levenshtein's distance, one row of its table at a time.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({substituted, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
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

std::string nearest(std::string_view name, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = name.size() / 3 + 2;  // farther apart it is another word, not a misspelling
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(name, candidate);
    const bool half_alike = 2 * distance <= std::max(name.size(), candidate.size());  // "b" is no misspelt "a"
    if (half_alike && distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates,
                         std::string_view otherwise) {
  const std::string near = nearest(name, candidates);
  return near.empty() ? std::string(otherwise) : "Did you mean " + in_quotes(near) + "?";
}

BadRow bad_row(const Problem& problem, const std::string& file, std::uint64_t line) {
  return {problem.kind, fmt::format("{}:{}: {}. {}", file, line, problem.what, problem.remedy), line};
}

}  // namespace esmm
