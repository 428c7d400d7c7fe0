#include "io/field_lookup.hpp"

#include <array>
#include <bit>
#include <cstring>

#include "io/messages.hpp"

namespace esmm {
namespace {

std::uint64_t first_word(std::string_view name) {
  std::array<char, 8> bytes{};
  std::memcpy(bytes.data(), name.data(), name.size());
  return load_word(bytes.data());
}

}  // namespace

FieldLookup::FieldLookup(const Schema& schema, Side side) {
  const std::size_t names = schema.fields.size() + schema.ignore.size();
  slots_.resize(std::bit_ceil(4 * names + 1));  // sparse: a probe rarely meets another name
  mask_ = slots_.size() - 1;
  for (const Field& field : schema.fields) {
    if (field.side == side) names_.push_back(field.name);
    insert(field.name, field.side == side ? static_cast<int>(names_.size()) - 1 : kOtherSide);
  }
  for (const std::string& ignored : schema.ignore) insert(ignored, kIgnored);
}

void FieldLookup::insert(const std::string& name, int index) {
  if (name.size() > kShortName) {
    long_names_.emplace(name, index);
    return;
  }
  const std::uint64_t key = short_key(first_word(name), static_cast<int>(name.size()));
  std::size_t slot = first_slot(key);
  while (slots_[slot].key != 0) slot = (slot + 1) & mask_;
  slots_[slot] = {key, index};
}

int FieldLookup::find(std::string_view name) const {
  if (name.size() <= kShortName)
    return name.empty() ? kUnknown : find_short(first_word(name), static_cast<int>(name.size()));
  const auto found = long_names_.find(name);
  return found == long_names_.end() ? kUnknown : found->second;
}

std::string FieldLookup::complaint(std::string_view name) const {
  std::string what = "has a field that the schema does not have";
  if (const std::string near = nearest(name, names_); !near.empty()) what += " (it has " + in_quotes(near) + ")";
  return what;
}

}  // namespace esmm
