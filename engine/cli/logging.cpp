#include "engine/cli/logging.hpp"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <mutex>

namespace esmm {

namespace {

/// Lines on stderr, with at most one status line below them. Failures to write are ignored: there is nowhere to report
/// them, and work must go on when stderr is a closed pipe.
class TerminalSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  void draw_status(std::string_view text) {
    const std::lock_guard lock(mutex_);
    clear_status();
    if (text.empty()) return;
    write(text);
    status_shown_ = true;
    flush_();
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    clear_status();
    write({line.data(), line.size()});
  }
  void flush_() override { static_cast<void>(std::fflush(stderr)); }

 private:
  static void write(std::string_view text) { static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr)); }
  void clear_status() {
    if (status_shown_) write("\r\x1b[K");  // to the start of the line, and erase it
    status_shown_ = false;
  }

  bool status_shown_ = false;
};

}  // namespace

void start_logging(const std::string& level) {
  auto logger = std::make_shared<spdlog::logger>("esmm_gpu", std::make_shared<TerminalSink>());
  logger->set_pattern("%l: %v");
  logger->set_level(spdlog::level::from_str(level));
  spdlog::set_default_logger(std::move(logger));
}

namespace {

/// Columns of the terminal; a longer status line would wrap and could not be erased.
std::size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

}  // namespace

bool stderr_is_terminal() {
  return isatty(STDERR_FILENO) != 0;
}

void draw_status_line(std::string_view text) {
  if (!stderr_is_terminal() || !spdlog::should_log(spdlog::level::info)) return;
  for (const spdlog::sink_ptr& sink : spdlog::default_logger()->sinks()) {
    if (auto* terminal = dynamic_cast<TerminalSink*>(sink.get()))
      terminal->draw_status(text.substr(0, terminal_width() - 1));
  }
}

}  // namespace esmm
