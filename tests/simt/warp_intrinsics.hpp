#pragma once
#include <bit>
#include <cstdint>
#include <type_traits>

#include "tests/simt/thread.hpp"

// Barriers, shuffles, votes and reductions, as CUDA declares them. Every call knows its place in the source.
namespace simt {

namespace collectives {
extern const Collective syncwarp, shuffle, ballot, all, any, match_any, add, minimum, maximum, minimum_signed,
    maximum_signed, bit_and, bit_or, bit_xor;
}  // namespace collectives

template <class T>
concept Shuffled = std::is_arithmetic_v<T> &&(sizeof(T) == 4 || sizeof(T) == 8);

template <Shuffled T>
std::uint64_t to_bits(T value) {
  if constexpr (sizeof(T) == 4) {
    return std::bit_cast<std::uint32_t>(value);
  } else {
    return std::bit_cast<std::uint64_t>(value);
  }
}
template <Shuffled T>
T from_bits(std::uint64_t bits) {
  if constexpr (sizeof(T) == 4) {
    return std::bit_cast<T>(static_cast<std::uint32_t>(bits));
  } else {
    return std::bit_cast<T>(bits);
  }
}

/// Reads the value of lane `source`, which is -1 where the calling lane keeps its own.
template <Shuffled T>
T shuffle(unsigned mask, T value, int source, const Place& place) {
  return from_bits<T>(warp_collective(collectives::shuffle, mask, to_bits(value), source, place));
}

/// Ends the kernel unless width is a power of two in [1, 32].
void check_width(int width, const Place& place);

namespace cuda {

inline void __syncthreads(Place place = Place::current()) {
  block_barrier(Vote::none, false, place);
}
inline int __syncthreads_count(int predicate, Place place = Place::current()) {
  return block_barrier(Vote::count, predicate != 0, place);
}
inline int __syncthreads_and(int predicate, Place place = Place::current()) {
  return block_barrier(Vote::all, predicate != 0, place);
}
inline int __syncthreads_or(int predicate, Place place = Place::current()) {
  return block_barrier(Vote::any, predicate != 0, place);
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFU, Place place = Place::current()) {
  warp_collective(collectives::syncwarp, mask, 0, 0, place);
}

template <Shuffled T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, Place place = Place::current()) {
  check_width(width, place);
  return shuffle(mask, value, (lane_index() & ~(width - 1)) | (source & (width - 1)), place);
}
template <Shuffled T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, Place place = Place::current()) {
  check_width(width, place);
  const int lane = lane_index(), source = lane - static_cast<int>(delta & 31U);
  return shuffle(mask, value, source < (lane & ~(width - 1)) ? -1 : source, place);
}
template <Shuffled T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, Place place = Place::current()) {
  check_width(width, place);
  const int lane = lane_index(), source = lane + static_cast<int>(delta & 31U);
  return shuffle(mask, value, source > (lane | (width - 1)) ? -1 : source, place);
}
template <Shuffled T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, Place place = Place::current()) {
  check_width(width, place);
  const int lane = lane_index(), source = lane ^ (lane_mask & 31);
  return shuffle(mask, value, source > (lane | (width - 1)) ? -1 : source, place);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, Place place = Place::current()) {
  return static_cast<unsigned>(warp_collective(collectives::ballot, mask, predicate != 0, 0, place));
}
inline int __all_sync(unsigned mask, int predicate, Place place = Place::current()) {
  return static_cast<int>(warp_collective(collectives::all, mask, predicate != 0, 0, place));
}
inline int __any_sync(unsigned mask, int predicate, Place place = Place::current()) {
  return static_cast<int>(warp_collective(collectives::any, mask, predicate != 0, 0, place));
}
template <Shuffled T>
unsigned __match_any_sync(unsigned mask, T value, Place place = Place::current()) {
  return static_cast<unsigned>(warp_collective(collectives::match_any, mask, to_bits(value), 0, place));
}

template <class T>
concept Reduced = std::is_same_v<T, int> || std::is_same_v<T, unsigned>;

template <Reduced T>
T __reduce_add_sync(unsigned mask, T value, Place place = Place::current()) {
  return from_bits<T>(warp_collective(collectives::add, mask, to_bits(value), 0, place));
}
template <Reduced T>
T __reduce_min_sync(unsigned mask, T value, Place place = Place::current()) {
  const Collective& operation = std::is_signed_v<T> ? collectives::minimum_signed : collectives::minimum;
  return from_bits<T>(warp_collective(operation, mask, to_bits(value), 0, place));
}
template <Reduced T>
T __reduce_max_sync(unsigned mask, T value, Place place = Place::current()) {
  const Collective& operation = std::is_signed_v<T> ? collectives::maximum_signed : collectives::maximum;
  return from_bits<T>(warp_collective(operation, mask, to_bits(value), 0, place));
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value, Place place = Place::current()) {
  return static_cast<unsigned>(warp_collective(collectives::bit_and, mask, value, 0, place));
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, Place place = Place::current()) {
  return static_cast<unsigned>(warp_collective(collectives::bit_or, mask, value, 0, place));
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value, Place place = Place::current()) {
  return static_cast<unsigned>(warp_collective(collectives::bit_xor, mask, value, 0, place));
}

}  // namespace cuda
}  // namespace simt
