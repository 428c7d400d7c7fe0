#include "io/unit_sequence.hpp"

#include <algorithm>

namespace esmm {

void UnitSequence::order_units(std::span<const std::unique_ptr<Block>> blocks, Order order, ShuffleKey key) {
  clear();
  single_ = order == Order::by_impression;
  std::vector<std::uint32_t> units_per_block;
  for (const auto& block : blocks) {
    blocks_.push_back(block.get());
    units_per_block.push_back(static_cast<std::uint32_t>(single_ ? block->impressions() : block->common_rows()));
  }
  plan_window(units_per_block, order, key, units_);
  if (single_) return;
  std::uint64_t end = 0;
  for (const Unit& unit : units_) {
    const std::vector<std::uint32_t>& common_begin = blocks_[unit.block]->common_begin;
    end += common_begin[unit.index + 1] - common_begin[unit.index];
    ends_.push_back(end);
  }
}

void UnitSequence::clear() {
  blocks_.clear();
  units_.clear();
  ends_.clear();
}

void UnitSequence::cut(std::uint64_t begin, std::uint64_t end, std::vector<Unit>& scratch,
                       std::vector<Piece>& pieces) const {
  if (!single_) return cut_common_rows(begin, end, pieces);
  const auto units = std::span(units_).subspan(begin, end - begin);
  scratch.assign(units.begin(), units.end());
  std::sort(scratch.begin(), scratch.end());
  cut_impressions(scratch, pieces);
}

void UnitSequence::cut_common_rows(std::uint64_t begin, std::uint64_t end, std::vector<Piece>& pieces) const {
  auto number = static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), begin) - ends_.begin());
  std::uint64_t unit_begin = number == 0 ? 0 : ends_[number - 1];
  for (; begin < end; ++number) {
    const Unit unit = units_[number];
    const Block* block = blocks_[unit.block];
    const std::uint32_t first = block->common_begin[unit.index];
    const std::uint64_t stop = std::min(end, ends_[number]);
    if (stop > begin) {  // else a common row without impressions
      pieces.push_back({block, unit.index, first + static_cast<std::uint32_t>(begin - unit_begin),
                        first + static_cast<std::uint32_t>(stop - unit_begin)});
    }
    begin = stop;
    unit_begin = ends_[number];
  }
}

void UnitSequence::cut_impressions(std::span<const Unit> sorted, std::vector<Piece>& pieces) const {
  const Block* block = nullptr;
  std::uint32_t common_row = 0;
  for (const Unit& unit : sorted) {
    const bool same_block = block == blocks_[unit.block];
    block = blocks_[unit.block];
    const std::vector<std::uint32_t>& common_begin = block->common_begin;
    if (block->common_rows() == block->impressions()) {
      common_row = unit.index;
    } else if (!same_block || unit.index >= common_begin[common_row + 1]) {
      const auto after = std::upper_bound(common_begin.begin(), common_begin.end(), unit.index);
      common_row = static_cast<std::uint32_t>(after - common_begin.begin()) - 1;
    }
    pieces.push_back({block, common_row, unit.index, unit.index + 1});
  }
}

}  // namespace esmm
