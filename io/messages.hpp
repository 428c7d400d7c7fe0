#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/rows.hpp"

namespace esmm {

inline constexpr std::string_view kBadRowRemedy = "Fix the line, or pass --on-bad-row skip.";

/// Text of a log in quotes for a message: unprintable bytes escaped (\x02), long texts cut.
[[nodiscard]] std::string quoted(std::string_view text);

/// "a", "b" and 7 more
[[nodiscard]] std::string listed(const std::vector<std::string>& names);

/// The message "file:line: what. remedy"; `what` without its full stop.
[[nodiscard]] BadRow bad_row(BadRowKind kind, const std::string& file, std::uint64_t line, std::string_view what,
                             std::string_view remedy = kBadRowRemedy);

}  // namespace esmm
