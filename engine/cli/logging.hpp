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

/// Writes a command's result to stdout. A reader that has closed the pipe is no error (`esmm_gpu inspect x | head`);
/// any other failure is Error (io).
void print_result(std::string_view text);

}  // namespace esmm
