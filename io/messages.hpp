#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/rows.hpp"

namespace esmm {

/// Why a row cannot be used: `what` without place and full stop.
struct Problem {
  BadRowKind kind = BadRowKind::field_count;
  std::string what;
  std::string_view remedy = "Fix the line, or pass --on-bad-row skip.";
};

/// Text of a log in quotes for a message: unprintable bytes escaped (\x02), long texts cut.
[[nodiscard]] std::string in_quotes(std::string_view text);

/// "a", "b" and 7 more
[[nodiscard]] std::string listed(const std::vector<std::string>& names);

/// The candidate nearest to `name` by edit distance, when it is near enough to be what was meant; else empty.
[[nodiscard]] std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

/// The last sentence of a message about an unknown name: 'Did you mean "batch_size"?', or `otherwise`.
[[nodiscard]] std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates,
                                       std::string_view otherwise);

/// The message is "file:line: what. remedy".
[[nodiscard]] BadRow bad_row(const Problem& problem, const std::string& file, std::uint64_t line);

}  // namespace esmm
