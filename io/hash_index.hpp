#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace esmm {

/// Spreads an id over 64 bits (a multiplication and a fold: ids are often consecutive).
[[nodiscard]] inline std::uint64_t mix(std::uint64_t id) {
  const std::uint64_t product = id * 0x9E3779B97F4A7C15ULL;
  return product ^ (product >> 32);
}

/// Open-addressing map from Key to a non-zero number. A bucket is one cache line and slots fill from its front, so that
/// a look-up touches one line as a rule. `hash` is passed in, the same for equal keys.
template <class Key>
class HashIndex {
  static constexpr std::size_t kSlots = 64 / (sizeof(Key) + sizeof(std::uint32_t));
  struct alignas(64) Bucket {
    Key key[kSlots];
    std::uint32_t number[kSlots];  // 0: empty
  };
  static_assert(sizeof(Bucket) == 64);

 public:
  HashIndex() : buckets_(1) {}

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t bytes() const { return buckets_.size() * sizeof(Bucket); }

  /// Empties the map and makes room for `keys` keys.
  void reset(std::size_t keys) {
    std::size_t buckets = 1;
    while (buckets * kSlots * 3 / 4 <= keys) buckets *= 2;
    buckets_.assign(buckets, Bucket{});
    size_ = 0;
  }

  /// The key's number, or 0.
  [[nodiscard]] std::uint32_t find(const Key& key, std::uint64_t hash) const {
    for (std::size_t b = hash & (buckets_.size() - 1);; b = (b + 1) & (buckets_.size() - 1)) {
      const Bucket& bucket = buckets_[b];
      for (std::size_t s = 0; s < kSlots; ++s)
        if (bucket.key[s] == key) return bucket.number[s];  // an empty slot has number 0, whatever its key
      if (bucket.number[kSlots - 1] == 0) return 0;
    }
  }

  void prefetch(std::uint64_t hash) const { __builtin_prefetch(&buckets_[hash & (buckets_.size() - 1)]); }

  /// The key's number, to be changed by the caller to non-zero; 0 if the key is new. Valid until the next call.
  /// `hash_of` computes the hash of a stored key when the table grows.
  template <class HashOf>
  [[nodiscard]] std::uint32_t& operator()(const Key& key, const HashOf& hash_of) {
    if (size_ >= buckets_.size() * kSlots * 3 / 4) grow(hash_of);
    return slot(key, hash_of(key));
  }

  template <class Visit>
  void for_each(const Visit& visit) const {
    for (const Bucket& bucket : buckets_)
      for (std::size_t s = 0; s < kSlots && bucket.number[s] != 0; ++s) visit(bucket.key[s], bucket.number[s]);
  }

 private:
  std::uint32_t& slot(const Key& key, std::uint64_t hash) {
    for (std::size_t b = hash & (buckets_.size() - 1);; b = (b + 1) & (buckets_.size() - 1)) {
      Bucket& bucket = buckets_[b];
      for (std::size_t s = 0; s < kSlots; ++s) {
        if (bucket.number[s] == 0) {
          bucket.key[s] = key;
          ++size_;
          return bucket.number[s];
        }
        if (bucket.key[s] == key) return bucket.number[s];
      }
    }
  }

  template <class HashOf>
  void grow(const HashOf& hash_of) {
    std::vector<Bucket> old(buckets_.size() * 2);
    old.swap(buckets_);
    size_ = 0;
    for (const Bucket& bucket : old)
      for (std::size_t s = 0; s < kSlots && bucket.number[s] != 0; ++s)
        slot(bucket.key[s], hash_of(bucket.key[s])) = bucket.number[s];
  }

  std::vector<Bucket> buckets_;
  std::size_t size_ = 0;
};

}  // namespace esmm
