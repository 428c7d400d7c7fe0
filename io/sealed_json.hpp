#pragma once
#include <nlohmann/json.hpp>
#include <string>

namespace esmm {

/// 16 lower-case hex digits.
[[nodiscard]] std::string hex64(std::uint64_t value);

/// Writes {"xxh3": "<hex>", "content": …}: the XXH3-64 is of the content's bytes as written.
void write_sealed_json(const std::string& path, const nlohmann::json& content);
/// Reads and verifies such a file, then calls use(content). Throws Error (data) when a byte of it has changed, or when
/// `use` finds the content not as expected (a JSON exception).
template <class Use>
auto read_sealed_json(const std::string& path, const Use& use);

namespace detail {
[[nodiscard]] nlohmann::json read_sealed_json(const std::string& path);
[[noreturn]] void throw_unexpected_json(const std::string& path, const nlohmann::json::exception& error);
}  // namespace detail

template <class Use>
auto read_sealed_json(const std::string& path, const Use& use) {
  try {
    return use(detail::read_sealed_json(path));
  } catch (const nlohmann::json::exception& error) {
    detail::throw_unexpected_json(path, error);
  }
}

}  // namespace esmm
