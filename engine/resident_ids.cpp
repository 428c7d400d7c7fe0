#include "engine/resident_ids.hpp"

#include <algorithm>
#include <limits>
#include <span>

#include "io/batch_assembly.hpp"
#include "kernels/error.hpp"
#include "kernels/nvtx.hpp"

namespace esmm {

namespace {

struct IdCounts {
  std::uint64_t sample = 0, common = 0;
};
IdCounts count_ids(const PackedDataset& dataset) {
  IdCounts counts;
  for (std::size_t block = 0; block < dataset.block_count(); ++block) {
    counts.sample += dataset.shape(block).sample_ids;
    counts.common += dataset.shape(block).common_ids;
  }
  return counts;
}

}  // namespace

std::int64_t ResidentIds::bytes(const PackedDataset& dataset) {
  const IdCounts counts = count_ids(dataset);
  return static_cast<std::int64_t>((counts.sample + counts.common) * (sizeof(std::uint32_t) + sizeof(float)));
}

bool ResidentIds::fits(const PackedDataset& dataset) {
  const IdCounts counts = count_ids(dataset);
  return std::max(counts.sample, counts.common) <= std::numeric_limits<std::uint32_t>::max();
}

ResidentIds::ResidentIds(Memory& memory, const PackedDataset& dataset, const ModelInputs& inputs, ThreadPool& pool)
    : sample_(memory, static_cast<std::int64_t>(count_ids(dataset).sample)),
      common_(memory, static_cast<std::int64_t>(count_ids(dataset).common)),
      blocks_(dataset.block_count()) {
  if (!fits(dataset)) throw internal_error("resident: more than 2^32 ids");
  const NvtxRange range("make_resident");
  const std::size_t together = 2 * static_cast<std::size_t>(pool.threads());  // decoded before any is moved
  for (std::size_t first = 0; first < blocks_.size(); first += together) {
    const std::span group = std::span(blocks_).subspan(first, std::min(together, blocks_.size() - first));
    pool.for_each_chunk(static_cast<std::int64_t>(group.size()), [&](std::int64_t chunk, int) {
      auto& block = group[static_cast<std::size_t>(chunk)];
      block = std::make_unique<Block>();
      dataset.decode(first + static_cast<std::size_t>(chunk), *block, false);
      apply_inputs(*block, inputs);
    });
    for (const auto& block : group) {
      sample_.move(block->sample);
      common_.move(block->common);
      block->input_index = {};
    }
  }
}

void ResidentIds::Side::move(BagColumns& bags) {
  if (bags.fields == 0) return;
  bags.moved_to = static_cast<std::uint32_t>(used_);
  const std::size_t count = bags.rows.size();
  Memory& memory = rows_.memory();
  if (count > 0) memory.copy_from_host(rows_.data() + used_, bags.rows.data(), count * sizeof(std::uint32_t));
  append_weights(bags.values, count);
  used_ += static_cast<std::int64_t>(count);
  bags.rows = {};
  bags.values = {};
}

/// Weights of the next `count` ids: `values`, or 1 where there are none.
void ResidentIds::Side::append_weights(const std::vector<float>& values, std::size_t count) {
  const auto ones_at = [&](std::int64_t begin, std::size_t size) {
    const std::vector<float> ones(size, 1.0F);
    if (size > 0) rows_.memory().copy_from_host(weights_.data() + begin, ones.data(), size * sizeof(float));
  };
  if (values.empty()) {
    if (weights_.size() > 0) ones_at(used_, count);
    return;
  }
  if (weights_.size() == 0) {  // all ids so far had none
    weights_.resize(rows_.size());
    constexpr std::int64_t kPiece = 1 << 20;
    for (std::int64_t begin = 0; begin < used_; begin += kPiece) {
      ones_at(begin, static_cast<std::size_t>(std::min(kPiece, used_ - begin)));
    }
  }
  rows_.memory().copy_from_host(weights_.data() + used_, values.data(), count * sizeof(float));
}

}  // namespace esmm
