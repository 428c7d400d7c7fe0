#include "tests/simt/block.hpp"
#include "tests/simt/watch.hpp"

namespace simt {
namespace {

std::string mask_text(unsigned mask) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "0x";
  for (int shift = 28; shift >= 0; shift -= 4) text += kDigits[(mask >> shift) & 15U];
  return text;
}

std::string lane_text(unsigned lanes) {
  return "lane " + std::to_string(__builtin_ctz(lanes));
}

}  // namespace

std::uint64_t BlockRunner::warp(const Collective& operation, unsigned mask, std::uint64_t value, int source,
                                const Place& place) {
  Thread& thread = current();
  Warp& warp = warps_[thread.warp()];
  const unsigned self = 1U << thread.lane();
  if ((mask & self) == 0) {
    std::string message = lane_text(self) + " calls " + operation.name + " at " + to_string(place) + " with mask " +
                          mask_text(mask) + ", which does not name it";
    raise(std::move(message));
  }
  thread.value = value;
  thread.source = source;
  thread.place = place;

  std::size_t g = 0;
  while (g < warp.groups.size() && !(warp.groups[g].mask == mask && warp.groups[g].operation == &operation &&
                                     same_place(warp.groups[g].place, place))) {
    ++g;
  }
  if (g == warp.groups.size()) {
    check_group(warp, thread, operation, mask, place);
    warp.groups.push_back({&operation, mask, 0, place});
  }
  warp.groups[g].arrived |= self;
  thread.state = Thread::State::in_warp;
  if ((mask & ~(warp.groups[g].arrived | warp.gone)) == 0) finish_group(warp, g, thread.warp());
  wait(thread);
  return thread.result;
}

/// A lane that opens a new group: is there any way that it will complete?
void BlockRunner::check_group(const Warp& warp, const Thread& thread, const Collective& operation, unsigned mask,
                              const Place& place) {
  const auto here = [&] { return std::string(operation.name) + " at " + to_string(place); };
  const unsigned self = 1U << thread.lane();
  if ((mask & warp.at_barrier) != 0) {
    std::string message =
        here() + " names " + lane_text(mask & warp.at_barrier) + ", which waits in __syncthreads at " +
        to_string(threads_[thread.warp() * kWarp + static_cast<unsigned>(__builtin_ctz(mask & warp.at_barrier))].place);
    raise(std::move(message));
  }
  for (const Group& group : warp.groups) {
    if ((group.mask & self) == 0 || (mask & group.arrived) == 0) continue;  // may still meet later
    std::string message = "divergent warp operation: " + lane_text(self) + " is at " + here() + " with mask " +
                          mask_text(mask) + " while " + lane_text(mask & group.arrived) + " waits in " +
                          group.operation->name + " at " + to_string(group.place) + " with mask " +
                          mask_text(group.mask);
    raise(std::move(message));
  }
}

void BlockRunner::finish_group(Warp& warp, std::size_t group_index, unsigned warp_index) {
  const Group group = warp.groups[group_index];
  warp.groups.erase(warp.groups.begin() + static_cast<std::ptrdiff_t>(group_index));
  if (group.operation->needs_all_lanes && group.arrived != group.mask) {
    std::string message = std::string(group.operation->name) + " at " + to_string(group.place) + " needs " +
                          lane_text(group.mask & ~group.arrived) + ", which has returned or does not exist";
    raise(std::move(message));
  }
  WarpLanes lanes{{}, group.mask, group.arrived};
  std::array<std::uint16_t, kWarp> released;
  unsigned count = 0;
  for (unsigned left = group.arrived; left != 0; left &= left - 1) {
    const auto lane = static_cast<unsigned>(__builtin_ctz(left));
    lanes.lane[lane] = &threads_[warp_index * kWarp + lane];
    released[count++] = static_cast<std::uint16_t>(warp_index * kWarp + lane);
  }
  if (const char* error = group.operation->finish(lanes)) {
    std::string message = std::string(group.operation->name) + " at " + to_string(group.place) + " " + error;
    raise(std::move(message));
  }
  if (watch != nullptr && group.operation->orders_memory) watch->warp_synchronised(warp_index, group.arrived);
  random_->shuffle(released.data(), count);
  release(released.data(), count);
}

}  // namespace simt
