#include "tests/simt/warp_intrinsics.hpp"

#include <algorithm>
#include <string>

#include "tests/simt/block.hpp"

namespace simt {
namespace {

template <class Body>
void for_each_lane(const WarpLanes& lanes, Body&& body) {
  for (unsigned left = lanes.arrived; left != 0; left &= left - 1) body(*lanes.lane[__builtin_ctz(left)]);
}

const char* finish_sync(WarpLanes& /*lanes*/) {
  return nullptr;
}

const char* finish_shuffle(WarpLanes& lanes) {
  const char* error = nullptr;
  for_each_lane(lanes, [&](Lane& lane) {
    if (lane.source < 0) {
      lane.result = lane.value;
    } else if (((lanes.mask >> lane.source) & 1U) == 0) {
      error = "reads a lane that is not in its mask";
    } else if (((lanes.arrived >> lane.source) & 1U) == 0) {
      error = "reads a lane that has returned or does not exist";
    } else {
      lane.result = lanes.lane[lane.source]->value;
    }
  });
  return error;
}

unsigned votes(const WarpLanes& lanes) {
  unsigned ballot = 0;
  for (unsigned left = lanes.arrived; left != 0; left &= left - 1) {
    const int lane = __builtin_ctz(left);
    if (lanes.lane[lane]->value != 0) ballot |= 1U << lane;
  }
  return ballot;
}

const char* give_all(const WarpLanes& lanes, std::uint64_t result) {
  for_each_lane(lanes, [&](Lane& lane) { lane.result = result; });
  return nullptr;
}

const char* finish_ballot(WarpLanes& lanes) {
  return give_all(lanes, votes(lanes));
}
const char* finish_all(WarpLanes& lanes) {
  return give_all(lanes, votes(lanes) == lanes.arrived);
}
const char* finish_any(WarpLanes& lanes) {
  return give_all(lanes, votes(lanes) != 0);
}

const char* finish_match(WarpLanes& lanes) {
  for_each_lane(lanes, [&](Lane& lane) {
    lane.result = 0;
    for (unsigned left = lanes.arrived; left != 0; left &= left - 1) {
      const int other = __builtin_ctz(left);
      if (lanes.lane[other]->value == lane.value) lane.result |= 1U << other;
    }
  });
  return nullptr;
}

template <class T, class Combine>
const char* reduce(WarpLanes& lanes, Combine combine) {
  bool first = true;
  T total{};
  for_each_lane(lanes, [&](const Lane& lane) {
    const T value = from_bits<T>(lane.value);
    total = first ? value : combine(total, value);
    first = false;
  });
  return give_all(lanes, to_bits(total));
}

}  // namespace

namespace collectives {

const Collective syncwarp{"__syncwarp", finish_sync, false, true};
const Collective shuffle{"a shuffle", finish_shuffle};
const Collective ballot{"__ballot_sync", finish_ballot};
const Collective all{"__all_sync", finish_all};
const Collective any{"__any_sync", finish_any};
const Collective match_any{"__match_any_sync", finish_match};
const Collective add{"__reduce_add_sync", [](WarpLanes& lanes) {
                       return reduce<unsigned>(lanes, [](unsigned a, unsigned b) { return a + b; });
                     }};
const Collective minimum{"__reduce_min_sync", [](WarpLanes& lanes) {
                           return reduce<unsigned>(lanes, [](unsigned a, unsigned b) { return std::min(a, b); });
                         }};
const Collective maximum{"__reduce_max_sync", [](WarpLanes& lanes) {
                           return reduce<unsigned>(lanes, [](unsigned a, unsigned b) { return std::max(a, b); });
                         }};
const Collective minimum_signed{"__reduce_min_sync", [](WarpLanes& lanes) {
                                  return reduce<int>(lanes, [](int a, int b) { return std::min(a, b); });
                                }};
const Collective maximum_signed{"__reduce_max_sync", [](WarpLanes& lanes) {
                                  return reduce<int>(lanes, [](int a, int b) { return std::max(a, b); });
                                }};
const Collective bit_and{"__reduce_and_sync", [](WarpLanes& lanes) {
                           return reduce<unsigned>(lanes, [](unsigned a, unsigned b) { return a & b; });
                         }};
const Collective bit_or{"__reduce_or_sync", [](WarpLanes& lanes) {
                          return reduce<unsigned>(lanes, [](unsigned a, unsigned b) { return a | b; });
                        }};
const Collective bit_xor{"__reduce_xor_sync", [](WarpLanes& lanes) {
                           return reduce<unsigned>(lanes, [](unsigned a, unsigned b) { return a ^ b; });
                         }};

}  // namespace collectives

void check_width(int width, const Place& place) {
  if (width >= 1 && width <= 32 && std::has_single_bit(static_cast<unsigned>(width))) return;
  std::string message = "the shuffle at " + to_string(place) + " has width " + std::to_string(width) +
                        ", which is no power of two up to 32";
  raise_fault(std::move(message));
}

}  // namespace simt
