#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/host_device.hpp"

namespace esmm {

/// Four random 32-bit words; also the 128-bit counter that they are made from.
struct RandomWords {
  std::uint32_t x, y, z, w;
};

/// Philox4x32-10: counter-based random numbers, a pure function of key and counter, so that any thread can draw any
/// number in any order. Source: Salmon, Moraes, Dror and Shaw, SC 2011.
ESMM_HD inline RandomWords philox(std::uint64_t key, RandomWords counter) {
  auto key_low = static_cast<std::uint32_t>(key);
  auto key_high = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t first = std::uint64_t{0xD2511F53U} * counter.x;
    const std::uint64_t second = std::uint64_t{0xCD9E8D57U} * counter.z;
    counter = {static_cast<std::uint32_t>(second >> 32) ^ counter.y ^ key_low, static_cast<std::uint32_t>(second),
               static_cast<std::uint32_t>(first >> 32) ^ counter.w ^ key_high, static_cast<std::uint32_t>(first)};
    key_low += 0x9E3779B9U;
    key_high += 0xBB67AE85U;
  }
  return counter;
}

/// The words of draw number `attempt` of a 64-bit counter.
ESMM_HD inline RandomWords random_words(std::uint64_t key, std::uint64_t counter, std::uint32_t attempt = 0) {
  return philox(key, {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), attempt, 0});
}

/// Streams of random numbers that one seed gives: 1 initial tables, 2 initial towers, 3 rows that a loss draws; dropout
/// uses the seed itself. Seeds are below 2^63.
inline std::uint64_t random_stream(std::uint64_t seed, std::uint64_t number) {
  return seed ^ (number << 56);
}

/// Uniform in [0, 1), a multiple of 2^-24.
ESMM_HD inline float uniform(std::uint64_t key, std::uint64_t counter, std::uint32_t attempt = 0) {
  return static_cast<float>(random_words(key, counter, attempt).x >> 8) * 0x1p-24F;
}

/// Standard normal by the Box-Muller transform; |result| < 6.8.
ESMM_HD inline float normal(std::uint64_t key, std::uint64_t counter, std::uint32_t attempt = 0) {
  const RandomWords words = random_words(key, counter, attempt);
  const double radius = std::sqrt(-2.0 * std::log((words.x + 0.5) * 0x1p-32));  // the half keeps log finite
  return static_cast<float>(radius * std::cos(words.y * (6.283185307179586 * 0x1p-32)));
}

/// Standard normal conditioned on |result| <= 2: draws are repeated until one fits (95 % do).
ESMM_HD inline float truncated_normal(std::uint64_t key, std::uint64_t counter) {
  for (std::uint32_t attempt = 0;; ++attempt) {
    const float value = normal(key, counter, attempt);
    if (std::fabs(value) <= 2.0F) return value;
  }
}

}  // namespace esmm
