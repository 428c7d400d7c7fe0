#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "io/loader.hpp"

namespace esmm {

/// Rewrites a decoded block in place as the model wants it: rows of the arena, values replaced by weights (none when
/// all are 1), dense columns normalised. Done once per decode, so that assembling a batch is copying ranges.
void apply_inputs(Block& block, const ModelInputs& inputs);

/// Consecutive impressions [begin, end) of one common row of a block.
struct Piece {
  const Block* block = nullptr;
  std::uint32_t common_row = 0;
  std::uint32_t begin = 0, end = 0;
};

/// Concatenates pieces into a batch. Adjacent pieces of the same common row share it. Reuses the batch's memory.
/// Throws Error (usage) if the batch would hold more ids than 32-bit offsets can count.
void assemble(std::span<const Piece> pieces, const LoaderOptions& options, HostBatch& batch);

}  // namespace esmm
