#pragma once
#include <string>
#include <string_view>

namespace esmm {

/// Logging goes through spdlog's default logger (`spdlog::info("{} rows", n)`): plain lines `level: text` on stderr.
/// Installs it. Level: debug, info, warn or error.
void start_logging(const std::string& level);

/// Whether stderr is a terminal, so that a bar may be drawn.
[[nodiscard]] bool stderr_is_terminal();
/// Draws `text` as the last line of the terminal, in place of the previous one; log lines then appear above it.
/// Empty text removes it. Nothing in a pipe, or when the level is above info.
void draw_status_line(std::string_view text);

}  // namespace esmm
