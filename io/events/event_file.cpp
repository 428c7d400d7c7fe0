#include "io/events/event_file.hpp"

#include <fmt/format.h>
#include <isa-l/crc.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "event.pb.h"
#include "kernels/error.hpp"

namespace esmm {

namespace {

constexpr std::string_view kPrefix = "events.out.tfevents.";

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// TensorBoard reads a directory's files in the order of their names: the seconds in a new one must be the largest.
std::string next_path(const std::string& directory) {
  auto seconds = static_cast<std::int64_t>(seconds_now());
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    std::int64_t used = 0;
    if (!name.starts_with(kPrefix)) continue;
    if (std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), used).ec == std::errc{}) {
      seconds = std::max(seconds, used + 1);
    }
  }
  char host[256] = "localhost";
  static_cast<void>(::gethostname(host, sizeof host - 1));
  return fmt::format("{}/{}{:010}.{}.{}", directory, kPrefix, seconds, host, ::getpid());
}

template <class T>
void put(std::string& record, T value) {
  static_assert(std::endian::native == std::endian::little);
  record.append(reinterpret_cast<const char*>(&value), sizeof value);
}

events::Event event_of(std::int64_t step) {
  events::Event event;
  event.set_wall_time(seconds_now());
  event.set_step(step);
  return event;
}

}  // namespace

std::uint32_t masked_crc32c(std::span<const std::byte> bytes) {
  constexpr std::uint32_t kMask = 0xA282EAD8U;
  // The library's parameter is not const, but it only reads.
  auto* data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
  const std::uint32_t crc = ~crc32_iscsi(data, static_cast<int>(bytes.size()), ~0U);
  return std::rotr(crc, 15) + kMask;
}

EventFile::EventFile(const std::string& directory, std::int64_t first_step)
    : file_(File::create(next_path(directory))) {
  events::Event version = event_of(0);
  version.set_file_version("brain.Event:2");
  append(version.SerializeAsString());
  events::Event start = event_of(first_step);
  start.mutable_session_log()->set_status(events::SessionLog::START);
  append(start.SerializeAsString());
}

void EventFile::add(std::int64_t step, std::span<const Scalar> scalars) {
  events::Event event = event_of(step);
  for (const auto& [tag, value] : scalars) {
    events::Summary::Value& scalar = *event.mutable_summary()->add_value();
    scalar.set_tag(tag);
    scalar.set_simple_value(static_cast<float>(value));
  }
  append(event.SerializeAsString());
}

void EventFile::append(const std::string& message) {
  std::string record;
  put(record, std::uint64_t{message.size()});
  put(record, masked_crc32c(std::as_bytes(std::span(record))));
  record += message;
  put(record, masked_crc32c(std::as_bytes(std::span(message))));
  file_.append(std::as_bytes(std::span(record)));  // one write: a killed run leaves at most one torn record
}

}  // namespace esmm
