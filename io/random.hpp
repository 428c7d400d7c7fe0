#pragma once
#include <cstdint>

namespace esmm {

/// Counter-based randomness: the number drawn is a function of its keys, so it does not depend on the order of drawing
/// or on the thread that draws. The mixer is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
[[nodiscard]] constexpr std::uint64_t splitmix(std::uint64_t x) {
  x ^= x >> 30;
  x *= 0xBF58476D1CE4E5B9ULL;
  x ^= x >> 27;
  x *= 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

/// Hash of a sequence of keys; every prefix gives an independent stream.
template <class... Keys>
[[nodiscard]] constexpr std::uint64_t hash_keys(std::uint64_t first, Keys... rest) {
  std::uint64_t h = splitmix(first + 0x9E3779B97F4A7C15ULL);
  ((h = splitmix(h + 0x9E3779B97F4A7C15ULL + static_cast<std::uint64_t>(rest))), ...);
  return h;
}

/// The SplitMix64 generator: draw k of a stream is splitmix(start + k · golden ratio).
class Random {
 public:
  constexpr explicit Random(std::uint64_t start) : state_(start) {}

  constexpr std::uint64_t next() { return splitmix(state_ += 0x9E3779B97F4A7C15ULL); }
  /// Uniform in [0, 1), on a grid of 2^-53.
  constexpr double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  /// Uniform in [0, bound), bound > 0: the upper half of a 64 x 32 bit product, biased by less than 2^-32.
  constexpr std::uint32_t below(std::uint32_t bound) {
    return static_cast<std::uint32_t>(((next() >> 32) * bound) >> 32);
  }
  constexpr bool bernoulli(double probability) { return uniform() < probability; }

 private:
  std::uint64_t state_;
};

}  // namespace esmm
