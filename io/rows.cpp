#include "io/rows.hpp"

#include <xxhash.h>

#include <array>
#include <charconv>

namespace esmm {
namespace {

constexpr std::uint64_t kTextIdBit = 1ULL << 63;

}  // namespace

std::uint64_t feature_id(std::string_view text) {
  const bool canonical = !text.empty() && (text[0] != '0' || text.size() == 1);
  if (canonical && text[0] >= '0' && text[0] <= '9') {
    std::uint64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (stop == end && error == std::errc{} && number < kTextIdBit) return number;
  }
  return XXH3_64bits(text.data(), text.size()) | kTextIdBit;
}

CommonKey common_key(std::string_view text) {
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return {hash.high64, hash.low64};
}

std::string_view name(BadRowKind kind) {
  constexpr std::array<std::string_view, static_cast<std::size_t>(BadRowKind::count_)> names{
      "field_count", "separator", "number", "range", "label", "unknown_field", "unknown_common", "duplicate_common"};
  return names[static_cast<std::size_t>(kind)];
}

}  // namespace esmm
