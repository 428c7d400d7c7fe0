#include "kernels/gather.hpp"

#include <algorithm>

#include "kernels/cpu/cpu_backend.hpp"

namespace esmm::cpu {

void CpuBackend::gather_ids(const StoredIds& from, std::span<const std::uint32_t> places, const EmptyBags& bags) {
  constexpr std::size_t kRowsPerChunk = 256;
  const auto fields = static_cast<std::size_t>(bags.fields);
  const auto chunks = static_cast<std::int64_t>((places.size() + kRowsPerChunk - 1) / kRowsPerChunk);
  pool_.for_each_chunk(chunks, [&](std::int64_t chunk, int) {
    const std::size_t first = static_cast<std::size_t>(chunk) * kRowsPerChunk;
    for (std::size_t r = first; r < std::min(places.size(), first + kRowsPerChunk); ++r) {
      const std::uint32_t begin = bags.offsets[r * fields];
      const std::uint32_t count = bags.offsets[(r + 1) * fields] - begin;
      if (count == 0) continue;
      std::copy_n(&from.rows[places[r]], count, &bags.rows[begin]);
      if (!from.weights.empty()) std::copy_n(&from.weights[places[r]], count, &bags.weights[begin]);
    }
  });
}

}  // namespace esmm::cpu
