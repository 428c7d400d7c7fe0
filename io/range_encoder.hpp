#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "io/block_codec.hpp"
#include "io/count_ids.hpp"
#include "io/packed_writer.hpp"
#include "io/tokenise.hpp"

namespace esmm {

/// Count, mean and sum of squared deviations, updated value by value and merged in a fixed order.
struct Moments {
  std::uint64_t count = 0, missing = 0;
  double mean = 0, squares = 0, min = 0, max = 0;
  void add(float value);  // NaN: missing
  void merge(const Moments& other);
  [[nodiscard]] DatasetStatistics::DenseStatistics statistics() const;
};

struct EncodedRange {
  std::vector<EncodedBlock> blocks;
  std::uint64_t common_rows = 0, unused_common_rows = 0;
  std::vector<DatasetStatistics::FieldStatistics> fields;  // as Schema::fields
  std::vector<Moments> dense;
};

/// Turns a range of tokens into blocks, on one thread. A block ends before it has more than about 4096 impressions or
/// 256 k ids; impressions of one common row are never parted.
class RangeEncoder {
 public:
  /// Keeps a reference to the vocabulary.
  RangeEncoder(const Schema& schema, const CodedVocabulary& vocabulary);
  [[nodiscard]] EncodedRange encode(const TokenRange& range);

 private:
  struct FieldEncoding {
    bool hashed = false;
    std::size_t index = 0;  // in Schema::fields
  };
  void add_group(const TokenRange& range, std::size_t group, EncodedRange& out);
  void add_row(TokenRow row, std::size_t impressions, const std::vector<FieldEncoding>& fields, BagColumns& bags,
               EncodedRange& out);
  void close_block(EncodedRange& out);

  const std::vector<std::uint32_t>& row_of_code_;
  std::vector<FieldEncoding> sample_, common_;
  std::size_t dense_ = 0;
  BlockEncoder encoder_;
  Block block_;
  std::vector<std::uint64_t> order_;
  std::vector<float> values_;
  std::vector<std::size_t> bag_end_;
};

/// Statistics to merge others into: its least value is infinite.
[[nodiscard]] DatasetStatistics::FieldStatistics no_ids();
/// Adds a field's statistics of one range to those of another.
void merge(DatasetStatistics::FieldStatistics& into, const DatasetStatistics::FieldStatistics& from);

}  // namespace esmm
