#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "io/loader.hpp"
#include "kernels/buffer.hpp"
#include "kernels/gather.hpp"
#include "kernels/thread_pool.hpp"

namespace esmm {

/// The ids and weights of a whole dataset in a backend's memory: batches then only say where theirs lie, and
/// `gather_ids` fetches them there. They are nearly all of a dataset's bytes; what is left of the blocks (offsets,
/// labels, dense columns) stays on the host, for a Loader.
class ResidentIds {
 public:
  /// Decodes every block once and moves its ids. Blocks until done. Throws Error: data as PackedDataset::decode, device
  /// when the memory is not there, internal when `fits` is false.
  ResidentIds(Memory& memory, const PackedDataset& dataset, const ModelInputs& inputs, ThreadPool& pool);

  /// Device memory that it takes at most (all ids weighted).
  [[nodiscard]] static std::int64_t bytes(const PackedDataset& dataset);
  /// Whether places are 32 bits wide enough: fewer than 2^32 ids on either side.
  [[nodiscard]] static bool fits(const PackedDataset& dataset);

  [[nodiscard]] StoredIds sample() const { return sample_.view(); }
  [[nodiscard]] StoredIds common() const { return common_.view(); }
  /// The blocks without their ids, once; their places are those in `sample()` and `common()`.
  [[nodiscard]] std::vector<std::unique_ptr<Block>> take_blocks() { return std::move(blocks_); }

 private:
  /// One side's ids in the order of the blocks.
  class Side {
   public:
    Side(Memory& memory, std::int64_t ids) : rows_(memory, ids), weights_(memory, 0) {}
    void move(BagColumns& bags);
    [[nodiscard]] StoredIds view() const { return {rows_.span(), weights_.span()}; }

   private:
    void append_weights(const std::vector<float>& values, std::size_t count);

    Buffer<std::uint32_t> rows_;
    Buffer<float> weights_;  // empty until the first block that has any
    std::int64_t used_ = 0;
  };

  Side sample_, common_;
  std::vector<std::unique_ptr<Block>> blocks_;
};

}  // namespace esmm
