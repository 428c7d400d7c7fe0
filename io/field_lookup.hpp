#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/scan.hpp"
#include "io/schema.hpp"

namespace esmm {

/// From a field's name to its index within one side. Names of up to 7 bytes are looked up by one multiplication.
class FieldLookup {
 public:
  static constexpr int kUnknown = -1;
  static constexpr int kOtherSide = -2;
  static constexpr int kIgnored = -3;  // listed under the schema's `ignore`

  FieldLookup(const Schema& schema, Side side);

  [[nodiscard]] int find(std::string_view name) const;

  /// The same for a name within a TextChunk, whose padding may be read.
  [[nodiscard]] int find_in_text(std::string_view name) const {
    const bool is_short = !name.empty() && name.size() <= kShortName;
    return is_short ? find_short(load_word(name.data()), static_cast<int>(name.size())) : find(name);
  }

  /// What a row that names an unknown field has done: "has a field that the schema does not have", and what it may
  /// mean.
  [[nodiscard]] std::string complaint(std::string_view name) const;

  /// The same for a name that starts at `word` and has `length` <= 7 bytes.
  [[nodiscard]] int find_short(std::uint64_t word, int length) const {
    const std::uint64_t key = short_key(word, length);
    for (std::size_t slot = first_slot(key);; slot = (slot + 1) & mask_) {
      if (slots_[slot].key == key || slots_[slot].key == 0) return slots_[slot].index;
    }
  }

 private:
  static constexpr std::size_t kShortName = 7;
  struct Slot {
    std::uint64_t key = 0;  // 0: free
    int index = kUnknown;
  };
  /// The name's bytes with its length on top.
  [[nodiscard]] static std::uint64_t short_key(std::uint64_t word, int length) {
    return (word & ((1ULL << (8 * length)) - 1)) | static_cast<std::uint64_t>(length) << 56U;
  }
  [[nodiscard]] std::size_t first_slot(std::uint64_t key) const {
    return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15ULL) >> 32U) & mask_;
  }
  void insert(const std::string& name, int index);

  std::vector<std::string> names_;  // of this side
  std::vector<Slot> slots_;
  std::size_t mask_ = 0;
  std::map<std::string, int, std::less<>> long_names_;
};

}  // namespace esmm
