#include "io/epoch_plan.hpp"

#include <numeric>
#include <utility>

namespace esmm {
namespace {

constexpr std::uint64_t block_stream = ~0ULL;  // stream of the blocks' permutation; windows have their number

/// SplitMix64 (Steele, Lea, Flood 2014): small, seekable by its key, and the same everywhere.
class ShuffleRandom {
 public:
  explicit ShuffleRandom(ShuffleKey key) : state_(mix(mix(mix(key.seed) + key.epoch) + key.stream)) {}

  /// Uniform in [0, bound), bound > 0, without modulo bias (Lemire 2019).
  std::uint64_t below(std::uint64_t bound) {
    while (true) {
      const unsigned __int128 product = static_cast<unsigned __int128>(next()) * bound;
      const auto low = static_cast<std::uint64_t>(product);
      if (low >= bound || low >= (0 - bound) % bound) return static_cast<std::uint64_t>(product >> 64);
    }
  }

 private:
  static std::uint64_t mix(std::uint64_t x) {
    x += 0x9E3779B97F4A7C15ULL;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31);
  }
  std::uint64_t next() {
    const std::uint64_t result = mix(state_);
    state_ += 0x9E3779B97F4A7C15ULL;
    return result;
  }
  std::uint64_t state_;
};

/// Fisher–Yates; std::shuffle is free to differ between standard libraries.
template <class T>
void shuffle(std::vector<T>& items, ShuffleKey key) {
  ShuffleRandom random(key);
  for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.below(i)]);
}

}  // namespace

std::vector<Window> plan_epoch(std::span<const BlockSize> blocks, const LoaderOptions& options, std::uint64_t epoch) {
  std::vector<std::uint32_t> order(blocks.size());
  std::iota(order.begin(), order.end(), 0U);
  if (options.order != Order::sequential) shuffle(order, {options.seed, epoch, block_stream});

  const auto least_impressions = static_cast<std::uint64_t>(options.batch_size);
  std::vector<Window> windows;
  std::uint64_t bytes = 0;
  for (const std::uint32_t block : order) {
    const BlockSize& size = blocks[block];
    if (windows.empty() ||
        (bytes + size.bytes > options.window_bytes && windows.back().impressions >= least_impressions)) {
      const std::uint64_t first = windows.empty() ? 0 : windows.back().end();
      windows.push_back({{}, first, 0});
      bytes = 0;
    }
    windows.back().blocks.push_back(block);
    windows.back().impressions += size.impressions;
    bytes += size.bytes;
  }
  return windows;
}

void plan_window(std::span<const std::uint32_t> units_per_block, Order order, ShuffleKey key,
                 std::vector<Unit>& units) {
  units.clear();
  for (std::uint32_t block = 0; block < units_per_block.size(); ++block) {
    for (std::uint32_t index = 0; index < units_per_block[block]; ++index) units.push_back({block, index});
  }
  if (order != Order::sequential) shuffle(units, key);
}

}  // namespace esmm
