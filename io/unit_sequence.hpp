#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "io/batch_assembly.hpp"
#include "io/epoch_plan.hpp"

namespace esmm {

/// The impressions of one decoded window in the order in which an epoch visits them.
class UnitSequence {
 public:
  /// Orders the units of `blocks`, which must outlive their use here. The memory is reused.
  void order_units(std::span<const std::unique_ptr<Block>> blocks, Order order, ShuffleKey key);
  /// Appends positions [begin, end) of the sequence as pieces, the impressions of a common row side by side. A common
  /// row that crosses an end is split. Safe from several threads, each with its own `scratch`.
  void cut(std::uint64_t begin, std::uint64_t end, std::vector<Unit>& scratch, std::vector<Piece>& pieces) const;
  void clear();

 private:
  void cut_common_rows(std::uint64_t begin, std::uint64_t end, std::vector<Piece>& pieces) const;
  void cut_impressions(std::span<const Unit> sorted, std::vector<Piece>& pieces) const;

  std::vector<const Block*> blocks_;
  std::vector<Unit> units_;
  bool single_ = false;              // units are impressions
  std::vector<std::uint64_t> ends_;  // of each unit, in impressions; only when units are common rows
};

}  // namespace esmm
