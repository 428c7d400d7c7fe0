#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace esmm {

/// Progress of one long piece of work. On a terminal: a bar with rate and time left, redrawn at most ten times a second
/// and removed at the end. In a pipe: nothing but the lines given to `note`.
class Progress {
 public:
  /// `total` in `unit`s ("rows"); 0 when it is not known.
  Progress(std::string what, std::uint64_t total, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` so far, with a word on it ("loss 0.1234"). Cheap: draws only when it is time to.
  void update(std::uint64_t done, std::string_view text = {});
  /// One plain line (at level info) where there is no bar; nothing on a terminal.
  void note(const std::string& line) const;
  /// The mean rate since the start, in units per second.
  [[nodiscard]] double rate() const;
  /// Work that was done before (a resumed run) does not count towards the rate.
  void start_at(std::uint64_t done);

 private:
  using Clock = std::chrono::steady_clock;
  [[nodiscard]] std::string bar(std::string_view text) const;

  std::string what_, unit_;
  std::uint64_t total_, done_ = 0, first_ = 0;
  Clock::time_point started_ = Clock::now();
  Clock::time_point next_draw_ = started_ + std::chrono::milliseconds(100);  // a rate needs some time
};

/// 1234567.0 → "1.23 M", 532.0 → "532".
[[nodiscard]] std::string short_number(double value);
/// 75 s → "1:15", 4000 s → "1:06:40".
[[nodiscard]] std::string short_duration(std::chrono::seconds duration);

}  // namespace esmm
