#include "engine/cli/progress.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "engine/cli/logging.hpp"

namespace esmm {

namespace {
constexpr std::chrono::milliseconds kRedraw{100};
constexpr int kBarWidth = 24;
}  // namespace

Progress::Progress(std::string what, std::uint64_t total, std::string unit)
    : what_(std::move(what)), unit_(std::move(unit)), total_(total) {}

Progress::~Progress() {
  draw_status_line({});
}

void Progress::update(std::uint64_t done, std::string_view text) {
  done_ = done;
  const Clock::time_point now = Clock::now();
  if (now < next_draw_) return;
  next_draw_ = now + kRedraw;
  draw_status_line(bar(text));
}

void Progress::note(const std::string& line) const {
  if (!stderr_is_terminal()) spdlog::info("{}", line);
}

double Progress::rate() const {
  const double seconds = std::chrono::duration<double>(Clock::now() - started_).count();
  return seconds > 0 ? static_cast<double>(done_ - first_) / seconds : 0;
}

void Progress::start_at(std::uint64_t done) {
  done_ = first_ = done;
  started_ = Clock::now();
}

std::string Progress::bar(std::string_view text) const {
  const double per_second = rate();
  std::string line = what_;
  if (total_ > 0) {
    const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    const int filled = static_cast<int>(share * kBarWidth);
    line += fmt::format(" [{:=<{}}{: <{}}] {:3.0f} %", "", filled, "", kBarWidth - filled, 100 * share);
  } else {
    line += fmt::format(" {} {}", short_number(static_cast<double>(done_)), unit_);
  }
  line += fmt::format("  {} {}/s", short_number(per_second), unit_);
  if (!text.empty()) line += fmt::format("  {}", text);
  if (total_ > done_ && per_second > 0) {
    const auto left = static_cast<std::int64_t>(static_cast<double>(total_ - done_) / per_second);
    line += fmt::format("  {} left", short_duration(std::chrono::seconds(left)));
  }
  return line;
}

std::string short_number(double value) {
  for (const auto& [unit, suffix] : {std::pair{1e9, " G"}, std::pair{1e6, " M"}, std::pair{1e3, " k"}}) {
    if (value >= unit) return fmt::format("{:.3g}{}", value / unit, suffix);
  }
  return fmt::format("{:.3g}", value);
}

std::string short_duration(std::chrono::seconds duration) {
  const std::int64_t seconds = duration.count();
  if (seconds < 3600) return fmt::format("{}:{:02}", seconds / 60, seconds % 60);
  return fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

}  // namespace esmm
