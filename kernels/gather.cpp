#include "kernels/gather.hpp"

#include "kernels/backend.hpp"
#include "kernels/error.hpp"
#include "kernels/nvtx.hpp"

namespace esmm {

void gather_ids(Backend& backend, const StoredIds& from, std::span<const std::uint32_t> places, const EmptyBags& bags) {
  const NvtxRange range("gather_ids");
  const std::size_t count = places.size() * static_cast<std::size_t>(bags.fields);
  if (bags.fields < 1 || bags.offsets.size() != count + 1) {
    throw internal_error("gather_ids: {} offsets for {} rows of {} fields", bags.offsets.size(), places.size(),
                         bags.fields);
  }
  if ((!from.weights.empty() && from.weights.size() != from.rows.size()) ||
      bags.weights.size() != (from.weights.empty() ? 0 : bags.rows.size())) {
    throw internal_error("gather_ids: {} ids with {} weights from {} with {}", bags.rows.size(), bags.weights.size(),
                         from.rows.size(), from.weights.size());
  }
  backend.gather_ids(from, places, bags);
}

}  // namespace esmm
