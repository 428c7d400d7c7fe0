#include "tests/simt/race_shadow.hpp"

#include <algorithm>
#include <limits>
#include <utility>

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
  if (epoch < now.block) return epoch < now.oldest;
  if (epoch != now.epoch || thread == now.thread) return true;
  return thread / 32U == now.warp() && (*now.seen)[thread % 32U] >= clock;
}

void LastWrite::set(const Now& now) {
  *this = {now.epoch, now.thread, now.clock(), now.caller};
}

bool Accesses::before(const Now& now) const {
  if (epoch < now.oldest) return true;
  if (many_blocks != 0 || epoch < now.block) return false;
  if (epoch != now.epoch) return true;
  const std::uint32_t others = thread / 32U == now.warp() ? lanes & ~(1U << now.lane()) : lanes;
  if (many_warps == 0 && others == 0) return true;
  if (many_warps != 0 || thread / 32U != now.warp()) return false;
  for (std::uint32_t left = others; left != 0; left &= left - 1) {
    if ((*now.seen)[static_cast<std::size_t>(__builtin_ctz(left))] < clock) return false;
  }
  return true;
}

void Accesses::add(const Now& now) {
  if (epoch == now.epoch && many_warps != 0) return;  // nothing to learn in this epoch
  const std::uint32_t self = 1U << now.lane();
  Accesses next;
  next.epoch = now.epoch;
  next.lanes = self;
  next.thread = now.thread & 1023U;
  next.clock = now.clock();
  next.caller = now.caller;
  if (!before(now)) {  // what they have in common with those before
    next.many_blocks = many_blocks != 0 || epoch < now.block;
    if (epoch == now.epoch) {
      const bool same_warp = thread / 32U == now.warp();
      next.many_warps = !same_warp;
      if (same_warp) next.lanes |= lanes;
      next.clock = std::min(clock, next.clock);
    }
  }
  *this = next;
}

std::uint16_t Accesses::another(const Now& now) const {
  if (epoch < now.block || thread != now.thread) return thread;
  const std::uint32_t others = lanes & ~(1U << now.lane());
  if (others == 0 || epoch != now.epoch) return kSeveral;
  return static_cast<std::uint16_t>(now.warp() * 32U + static_cast<unsigned>(__builtin_ctz(others)));
}

// ---- Cells ---------------------------------------------------------------------------------------------------------

std::optional<Race> CellHistory::access_one(Cell& cell, Access access, const Now& now) {
  const auto race = [&](Access first, const Accesses& with) {
    return Race{first, with.epoch, with.another(now), with.caller};
  };
  if (!cell.write.before(now)) return Race{Access::write, cell.write.epoch, cell.write.thread, cell.write.caller};
  if (access != Access::read && !cell.reads.before(now)) return race(Access::read, cell.reads);
  if (access != Access::atomic && cell.more != 0) {
    const Accesses& atomics = all_[cell.more - 1].atomics;
    if (!atomics.before(now)) return race(Access::atomic, atomics);
  }
  switch (access) {
    case Access::read:
      cell.reads.add(now);
      break;
    case Access::write:
      cell.write.set(now);
      break;
    case Access::atomic:
      more(cell).atomics.add(now);
      break;
  }
  return std::nullopt;
}

std::optional<Race> CellHistory::access(Cell& cell, Access access, const Now& now) {
  if (cell.more != 0 && all_[cell.more - 1].split) return access_bytes(cell, 0, 4, access, now);
  return access_one(cell, access, now);
}

std::optional<Race> CellHistory::access_bytes(Cell& cell, std::size_t begin, std::size_t end, Access access,
                                              const Now& now) {
  MoreOfCell& rest = more(cell);
  if (!rest.split) {
    rest.split = true;
    for (Cell& byte : rest.bytes) {
      byte = {cell.write, cell.reads, 0};
      if (!rest.atomics.before(now)) more(byte).atomics = rest.atomics;
    }
  }
  for (std::size_t byte = begin; byte < end; ++byte) {
    if (const auto race = access_one(rest.bytes[byte], access, now)) return race;
  }
  return std::nullopt;
}

MoreOfCell& CellHistory::more(Cell& cell) {
  if (cell.more == 0) {
    if (free_.empty()) {
      all_.emplace_back();
      free_.push_back(static_cast<std::uint32_t>(all_.size()));
    }
    cell.more = free_.back();
    free_.pop_back();
    all_[cell.more - 1] = {};
  }
  return all_[cell.more - 1];
}

void CellHistory::recycle(Cell& cell) {
  if (cell.more == 0) return;
  const std::uint32_t index = std::exchange(cell.more, 0);
  for (Cell& byte : all_[index - 1].bytes) recycle(byte);
  free_.push_back(index);
}

}  // namespace simt
