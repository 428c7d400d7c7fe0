#pragma once
#include <utility>
#include <vector>

#include "io/rows.hpp"

namespace esmm {

/// A set of common keys in 19 to 24 bytes each (open addressing, 68 to 85 % full). The keys are hashes themselves, so
/// their upper half picks the slot.
class KeySet {
 public:
  /// True if the key is new.
  bool insert(const CommonKey& key) {
    if (key == CommonKey{}) return !std::exchange(has_zero_, true);  // zero marks a free slot
    if (static_cast<double>(size_ + 1) > 0.85 * static_cast<double>(slots_.size())) grow();
    CommonKey& slot = find(key);
    if (slot == key) return false;
    slot = key;
    ++size_;
    return true;
  }

 private:
  CommonKey& find(const CommonKey& key) {
    __extension__ using Wide = unsigned __int128;
    auto slot = static_cast<std::size_t>(static_cast<Wide>(key.high) * slots_.size() >> 64U);
    while (slots_[slot] != CommonKey{} && slots_[slot] != key) slot = slot + 1 == slots_.size() ? 0 : slot + 1;
    return slots_[slot];
  }
  void grow() {
    const std::vector<CommonKey> old = std::exchange(slots_, std::vector<CommonKey>(slots_.size() * 5 / 4 + 64));
    for (const CommonKey& key : old) {
      if (key != CommonKey{}) find(key) = key;
    }
  }

  std::vector<CommonKey> slots_;
  std::size_t size_ = 0;
  bool has_zero_ = false;
};

}  // namespace esmm
