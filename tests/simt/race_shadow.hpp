#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "tests/simt/thread.hpp"

// Who accessed which bytes last, and whether that is ordered before an access now. Within a block, order comes from
// __syncthreads (it starts a new epoch) and, among the lanes of a warp, from __syncwarp (vector clocks of 32 entries);
// between the blocks of a kernel there is none; an earlier kernel is always before.
namespace simt {

/// What the lanes of a warp know of each other in one epoch: seen[l][m] is the newest clock of lane m that is ordered
/// before lane l; seen[l][l] is its own clock.
class WarpClocks {
 public:
  void enter(std::uint32_t epoch);
  void synchronise(unsigned lanes);
  [[nodiscard]] const std::array<std::uint16_t, 32>& seen(unsigned lane) const { return seen_[lane]; }

 private:
  std::uint32_t epoch_ = ~0U;
  std::array<std::array<std::uint16_t, 32>, 32> seen_{};
};

/// The running thread, as of now.
struct Now {
  std::uint32_t oldest_block;  // blocks are numbered through all kernels: earlier ones are ordered before
  std::uint32_t block;
  std::uint32_t epoch;
  std::uint16_t thread;
  const std::array<std::uint16_t, 32>* seen;
  std::uint32_t caller;  // where in the program

  [[nodiscard]] unsigned lane() const { return thread % 32U; }
  [[nodiscard]] unsigned warp() const { return thread / 32U; }
  [[nodiscard]] std::uint16_t clock() const { return (*seen)[lane()]; }
};

/// The last plain write.
struct LastWrite {
  std::uint32_t block = 0, epoch = 0;
  std::uint16_t thread = 0, clock = 0;
  std::uint32_t caller = 0;

  [[nodiscard]] bool before(const Now& now) const;
  void set(const Now& now);
};

inline constexpr std::uint16_t kSeveral = 0xFFFF;

/// Reads, or atomics, since they were last all ordered before one of them: exact within a warp, summarised beyond.
struct Accesses {
  std::uint32_t block = 0, epoch = 0;
  std::uint32_t lanes = 0;  // of the warp of `thread`
  std::uint16_t thread : 10 = 0;
  std::uint16_t many_warps : 1 = 0;
  std::uint16_t many_blocks : 1 = 0;
  std::uint16_t clock = 0;
  std::uint32_t caller = 0;

  [[nodiscard]] bool before(const Now& now) const;
  void add(const Now& now);
  /// One of those that are not `now` itself, or kSeveral.
  [[nodiscard]] std::uint16_t another(const Now& now) const;
};

/// The history of four bytes; of one, where they are accessed apart.
struct Cell {
  LastWrite write;
  Accesses reads, atomics;
  std::uint32_t split = 0;  // index of the bytes' own cells, from 1
  std::uint32_t unused = 0;
};
static_assert(sizeof(Cell) == 64);

/// Two accesses without order; the second is the present one.
struct Race {
  Access first;
  std::uint32_t block;
  std::uint16_t thread;
  std::uint32_t caller;
};
/// Checks an access against the cell's history, then adds it.
std::optional<Race> access_cell(Cell& cell, Access access, const Now& now);

/// Cells of single bytes, four at a time.
class SplitCells {
 public:
  /// The cells of the granule's bytes; splits it first where need be.
  std::array<Cell, 4>& of(Cell& granule);
  void recycle(Cell& granule);
  [[nodiscard]] bool empty() const { return free_.size() == all_.size(); }

 private:
  std::deque<std::array<Cell, 4>> all_;
  std::vector<std::uint32_t> free_;
};

}  // namespace simt
