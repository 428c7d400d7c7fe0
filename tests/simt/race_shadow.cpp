#include "tests/simt/race_shadow.hpp"

#include <algorithm>
#include <limits>

namespace simt {

// ---- Order ---------------------------------------------------------------------------------------------------------

void WarpClocks::enter(std::uint32_t epoch) {
  if (epoch_ == epoch) return;
  epoch_ = epoch;
  for (std::size_t lane = 0; lane < 32; ++lane) {
    seen_[lane].fill(0);
    seen_[lane][lane] = 1;
  }
}

void WarpClocks::synchronise(unsigned lanes) {
  std::array<std::uint16_t, 32> joined{};
  for (std::size_t lane = 0; lane < 32; ++lane) {
    if (((lanes >> lane) & 1U) == 0) continue;
    for (std::size_t m = 0; m < 32; ++m) joined[m] = std::max(joined[m], seen_[lane][m]);
  }
  for (std::size_t lane = 0; lane < 32; ++lane) {
    if (((lanes >> lane) & 1U) == 0) continue;
    seen_[lane] = joined;
    if (seen_[lane][lane] != std::numeric_limits<std::uint16_t>::max()) ++seen_[lane][lane];
  }
}

bool LastWrite::before(const Now& now) const {
  if (block != now.block) return block < now.oldest_block;
  if (epoch != now.epoch || thread == now.thread) return true;
  return thread / 32U == now.warp() && (*now.seen)[thread % 32U] >= clock;
}

void LastWrite::set(const Now& now) {
  *this = {now.block, now.epoch, now.thread, now.clock(), now.caller};
}

bool Accesses::before(const Now& now) const {
  if (block < now.oldest_block) return true;
  if (many_blocks != 0 || block != now.block) return false;
  if (epoch != now.epoch) return true;
  const std::uint32_t others = thread / 32U == now.warp() ? lanes & ~(1U << now.lane()) : lanes;
  if (others == 0) return true;
  if (many_warps != 0 || thread / 32U != now.warp()) return false;
  for (std::uint32_t left = others; left != 0; left &= left - 1) {
    if ((*now.seen)[static_cast<std::size_t>(__builtin_ctz(left))] < clock) return false;
  }
  return true;
}

void Accesses::add(const Now& now) {
  const std::uint32_t self = 1U << now.lane();
  const bool ordered = before(now);
  Accesses next;
  next.block = now.block;
  next.epoch = now.epoch;
  next.lanes = self;
  next.thread = now.thread & 1023U;
  next.clock = now.clock();
  next.caller = now.caller;
  if (!ordered) {  // what they have in common with those before
    next.many_blocks = many_blocks != 0 || block != now.block;
    if (block == now.block && epoch == now.epoch) {
      const bool same_warp = thread / 32U == now.warp();
      next.many_warps = many_warps != 0 || !same_warp;
      if (same_warp) next.lanes |= lanes;
      next.clock = std::min(clock, next.clock);
    }
  }
  *this = next;
}

std::uint16_t Accesses::another(const Now& now) const {
  if (block != now.block || thread != now.thread) return thread;
  const std::uint32_t others = lanes & ~(1U << now.lane());
  return others == 0 ? kSeveral
                     : static_cast<std::uint16_t>(now.warp() * 32U + static_cast<unsigned>(__builtin_ctz(others)));
}

// ---- Cells ---------------------------------------------------------------------------------------------------------

std::optional<Race> access_cell(Cell& cell, Access access, const Now& now) {
  if (!cell.write.before(now)) return Race{Access::write, cell.write.block, cell.write.thread, cell.write.caller};
  if (access != Access::read && !cell.reads.before(now)) {
    return Race{Access::read, cell.reads.block, cell.reads.another(now), cell.reads.caller};
  }
  if (access != Access::atomic && !cell.atomics.before(now)) {
    return Race{Access::atomic, cell.atomics.block, cell.atomics.another(now), cell.atomics.caller};
  }
  switch (access) {
    case Access::read:
      cell.reads.add(now);
      break;
    case Access::write:
      cell.write.set(now);
      break;
    case Access::atomic:
      cell.atomics.add(now);
      break;
  }
  return std::nullopt;
}

std::array<Cell, 4>& SplitCells::of(Cell& granule) {
  if (granule.split == 0) {
    if (free_.empty()) {
      all_.emplace_back();
      free_.push_back(static_cast<std::uint32_t>(all_.size()));
    }
    granule.split = free_.back();
    free_.pop_back();
    Cell whole = granule;
    whole.split = 0;
    all_[granule.split - 1].fill(whole);
  }
  return all_[granule.split - 1];
}

void SplitCells::recycle(Cell& granule) {
  if (granule.split != 0) free_.push_back(granule.split);
  granule.split = 0;
}

}  // namespace simt
