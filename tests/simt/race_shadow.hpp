#pragma once
#include <array>
#include <cstddef>
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

/// The running thread, as of now. Epochs are numbered through all blocks and kernels, so that an epoch tells its block.
struct Now {
  std::uint32_t oldest;  // epochs before this one are ordered before
  std::uint32_t block;   // the running block's first epoch
  std::uint32_t epoch;
  std::uint16_t thread;
  const std::array<std::uint16_t, 32>* seen;
  std::uint32_t caller;  // where in the program

  [[nodiscard]] unsigned lane() const { return thread % 32U; }
  [[nodiscard]] unsigned warp() const { return thread / 32U; }
  [[nodiscard]] std::uint16_t clock() const { return (*seen)[lane()]; }
};

inline constexpr std::uint16_t kSeveral = 0xFFFF;  // instead of one thread

/// The last plain write.
struct LastWrite {
  std::uint32_t epoch = 0;
  std::uint16_t thread = 0, clock = 0;
  std::uint32_t caller = 0;

  [[nodiscard]] bool before(const Now& now) const;
  void set(const Now& now);
};

/// Reads, or atomics, since they were last all ordered before one of them: exact within a warp, summarised beyond.
struct Accesses {
  std::uint32_t epoch = 0;
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
  Accesses reads;
  std::uint32_t more = 0;  // index of the rest, from 1
};
static_assert(sizeof(Cell) == 32);

/// What few cells have: atomics, and histories of the single bytes.
struct MoreOfCell {
  Accesses atomics;
  bool split = false;
  std::array<Cell, 4> bytes;
};

/// Two accesses without order; the second is the present one.
struct Race {
  Access first;
  std::uint32_t epoch;
  std::uint16_t thread;
  std::uint32_t caller;
};

/// Checks accesses against the cells' history, then adds them to it.
class CellHistory {
 public:
  /// The whole cell, or its bytes [begin, end).
  std::optional<Race> access(Cell& cell, Access access, const Now& now);
  std::optional<Race> access_bytes(Cell& cell, std::size_t begin, std::size_t end, Access access, const Now& now);
  /// Takes back what the cell has more than others.
  void recycle(Cell& cell);
  /// Whether some cell has.
  [[nodiscard]] bool any_more() const { return free_.size() != all_.size(); }

 private:
  MoreOfCell& more(Cell& cell);
  std::optional<Race> access_one(Cell& cell, Access access, const Now& now);

  std::deque<MoreOfCell> all_;
  std::vector<std::uint32_t> free_;
};

}  // namespace simt
