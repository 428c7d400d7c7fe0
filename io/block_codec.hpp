#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/column_codec.hpp"
#include "io/packed.hpp"

namespace esmm {

/// What every block of a dataset has in common: what decoding must know beyond the bytes and the shape.
struct BlockLayout {
  std::vector<std::uint32_t> sample_table_rows;  // [Fs] rows of each field's table: every stored row is below
  std::vector<std::uint32_t> common_table_rows;  // [Fc]
  std::uint32_t dense = 0;                       // E
  std::uint64_t impressions = 0;                 // of the dataset: every input_index is below
};

/// Encodes blocks; keeps its scratch memory from block to block. Rows must ascend within each bag, and input_index
/// within each common row's impressions.
class BlockEncoder {
 public:
  [[nodiscard]] std::vector<std::byte> encode(const Block& block);

 private:
  void bags(const BagColumns& bags);
  void sample_ids(const Block& block);
  ColumnEncoder columns_;
  std::vector<std::uint32_t> integers_;
  std::vector<std::uint64_t> wide_;
  std::vector<float> floats_;
};

[[nodiscard]] BlockShape shape_of(const Block& block);

/// Decodes a block, reusing `out`'s memory. Whatever the bytes are, nothing is read or written out of bounds: Error
/// (data) says what is wrong.
void decode_block(std::span<const std::byte> bytes, const BlockShape& shape, const BlockLayout& layout,
                  const BlockPlace& place, bool with_sample_ids, Block& out);

}  // namespace esmm
