#pragma once
#include <cstdint>
#include <span>

#include "kernels/batch.hpp"

namespace esmm {

class Backend;

/// The ids of many rows of bags, one row after the other: a whole dataset's, say.
struct StoredIds {
  std::span<const std::uint32_t> rows;  // [N] rows of the embedding arena
  std::span<const float> weights;       // [N], or empty: all 1
};

/// The bags of a batch whose offsets are known and whose ids are still to be filled in.
struct EmptyBags {
  std::span<const std::uint32_t> offsets;  // [R * fields + 1], as Bags::offsets
  std::int64_t fields = 0;
  std::span<std::uint32_t> rows;  // [M]
  std::span<float> weights;       // [M], or empty as the stored ones
};

/// Fills the bags of R rows with stored ids: those of row r, which are consecutive, are read from places[r] on.
/// places [R]. All of it is in the backend's memory; what lies in `bags.rows` beyond the last id stays as it is.
/// Asynchronous on a device. Throws Error (internal) if shapes disagree.
void gather_ids(Backend& backend, const StoredIds& from, std::span<const std::uint32_t> places, const EmptyBags& bags);

}  // namespace esmm
