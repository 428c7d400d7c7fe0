#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "io/loader.hpp"

namespace esmm {

/// Names one pseudo-random sequence. Equal keys give equal sequences on every platform.
struct ShuffleKey {
  std::uint64_t seed = 1, epoch = 0, stream = 0;
};

/// What the plan needs to know of a block.
struct BlockSize {
  std::uint64_t impressions = 0;
  std::uint64_t bytes = 0;  // decoded (estimated)
};

/// Blocks that are decoded and shuffled together. Impressions are counted in the order in which the epoch visits them.
struct Window {
  std::vector<std::uint32_t> blocks;
  std::uint64_t first_impression = 0;  // of the epoch
  std::uint64_t impressions = 0;
  [[nodiscard]] std::uint64_t end() const { return first_impression + impressions; }
};

/// Cuts an epoch into windows of at most `window_bytes` (but never less than one block or, except for the last,
/// `batch_size` impressions: a batch then touches at most two). Blocks are permuted unless the order is sequential.
/// Needs no decoded data, so any position of any epoch is found at once.
[[nodiscard]] std::vector<Window> plan_epoch(std::span<const BlockSize> blocks, const LoaderOptions& options,
                                             std::uint64_t epoch);

/// What is shuffled inside a window: a common row of a block, or one impression.
struct Unit {
  std::uint32_t block = 0;  // position in Window::blocks
  std::uint32_t index = 0;  // within the block
  friend auto operator<=>(const Unit&, const Unit&) = default;
};

/// All units of a window, permuted unless the order is sequential. units_per_block [blocks of the window].
void plan_window(std::span<const std::uint32_t> units_per_block, Order order, ShuffleKey key, std::vector<Unit>& units);

}  // namespace esmm
