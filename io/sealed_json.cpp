#include "io/sealed_json.hpp"

#include <fmt/format.h>
#include <xxhash.h>

#include "io/file.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {
constexpr std::uint64_t kLargest = 1ULL << 32;
constexpr std::string_view kBegin = "{\"xxh3\": \"";
constexpr std::string_view kMiddle = "\", \"content\": ";
constexpr std::string_view kEnd = "}\n";
constexpr std::size_t kHexDigits = 16;
}  // namespace

std::string hex64(std::uint64_t value) {
  return fmt::format("{:016x}", value);
}

void write_sealed_json(const std::string& path, const nlohmann::json& content) {
  std::string body;
  try {
    body = content.dump(1);
  } catch (const nlohmann::json::exception&) {
    throw data_error("{}: cannot be written: a name is not valid UTF-8. Rename the column or table.", path);
  }
  const std::string sum = hex64(XXH3_64bits(body.data(), body.size()));
  write_file(path, fmt::format("{}{}{}{}{}", kBegin, sum, kMiddle, body, kEnd));
}

namespace detail {

nlohmann::json read_sealed_json(const std::string& path) {
  require_part(path, "Make it again.");
  const std::string text = read_file(path, kLargest);
  const std::size_t head = kBegin.size() + kHexDigits + kMiddle.size();
  if (text.size() < head + kEnd.size())
    throw data_error("{}: {} bytes long: cut short. Make it again.", path, text.size());
  const std::string_view body = std::string_view(text).substr(head, text.size() - head - kEnd.size());
  const std::string expected = fmt::format("{}{}{}", kBegin, hex64(XXH3_64bits(body.data(), body.size())), kMiddle);
  if (!text.starts_with(expected) || !text.ends_with(kEnd))
    throw data_error("{}: does not match its checksum: cut short, corrupt or edited. Make it again.", path);
  return nlohmann::json::parse(body);
}

void throw_unexpected_json(const std::string& path, const nlohmann::json::exception& error) {
  throw data_error("{}: not as expected: {}. Make it again.", path, error.what());
}

}  // namespace detail
}  // namespace esmm
