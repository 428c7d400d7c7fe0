#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/rows.hpp"
#include "io/schema.hpp"
#include "io/vocabulary.hpp"

namespace esmm {

/// Bags of one side of a block: bag of (row r, field f) is r * fields + f. Rows are table-local (0 = out of
/// vocabulary) and ascend within a bag; equal rows keep the order of the text.
struct BagColumns {
  std::uint32_t fields = 0;
  std::vector<std::uint32_t> offsets;  // [rows * fields + 1]
  std::vector<std::uint32_t> rows;     // [N]
  std::vector<float> values;           // [N], or empty when every value is 1
  /// Set when rows and values are kept elsewhere instead: the place there of the first one.
  std::optional<std::uint32_t> moved_to = std::nullopt;
};

/// The unit of storage, checksum and compression: a few thousand impressions GROUPED by common row together with those
/// common rows, so that a block can be used without any other. Every common row is in exactly one block.
struct Block {
  std::vector<std::uint32_t> common_begin;  // [U+1] impressions of common row u; without common fields one group per
                                            // impression
  BagColumns sample;                        // B rows
  BagColumns common;                        // U rows
  std::vector<float> dense;                 // [B * E] as in the log; missing = NaN
  std::vector<std::uint8_t> click, conversion;  // [B]
  std::vector<std::uint64_t> input_index;       // [B] position in the input, from 0, without gaps over the dataset
  StringColumn sample_id;                       // [B]; only when asked for
  [[nodiscard]] std::size_t impressions() const { return click.size(); }
  [[nodiscard]] std::size_t common_rows() const { return common_begin.empty() ? 0 : common_begin.size() - 1; }
  /// Bytes of memory held.
  [[nodiscard]] std::size_t bytes() const;
};

struct BlockShape {
  std::uint32_t impressions = 0, common_rows = 0;
  std::uint64_t sample_ids = 0, common_ids = 0;
};

/// What `convert` counted; kept in the manifest.
struct DatasetStatistics {
  struct FieldStatistics {
    std::uint64_t ids = 0;             // occurrences (common side: counted once per common row)
    std::uint64_t impression_ids = 0;  // occurrences counted once per impression, on either side
    std::uint64_t missing_rows = 0;    // rows without any id
    std::uint64_t out_of_vocabulary = 0;
    std::uint32_t most_ids = 0;  // in one row
    float value_min = 0, value_max = 0;
  };
  struct DenseStatistics {
    double mean = 0, std = 0, min = 0, max = 0;  // over present values
    std::uint64_t missing = 0;
  };
  std::uint64_t impressions = 0, clicks = 0, conversions = 0, common_rows = 0;
  std::uint64_t unused_common_rows = 0;  // that no impression refers to: not stored
  std::uint64_t contradictions = 0;      // conversion without click, met in the input
  std::uint64_t contradictions_dropped = 0;
  std::vector<std::uint64_t> bad_rows;  // by BadRowKind
  std::uint64_t text_bytes = 0;         // uncompressed
  std::uint64_t packed_bytes = 0;       // blocks and vocabulary ids
  std::vector<FieldStatistics> fields;  // as Schema::fields
  std::vector<DenseStatistics> dense;   // as Schema::dense
};

/// A packed dataset: a directory of manifest.json, blocks.bin and vocab/. Read-only; `decode` is safe from several
/// threads. Not memory-mapped, so that a file that is cut short or cannot be read is an Error and not a signal.
/// docs/data_format.md has the layout.
class PackedDataset {
 public:
  /// Validates the manifest, sizes and offsets before anything is read; throws Error (data: corrupt; io: unreadable).
  [[nodiscard]] static std::shared_ptr<const PackedDataset> open(const std::string& directory);
  ~PackedDataset();

  [[nodiscard]] const std::string& path() const;
  [[nodiscard]] const Schema& schema() const;
  [[nodiscard]] bool labelled() const;
  [[nodiscard]] const DatasetStatistics& statistics() const;
  [[nodiscard]] const std::string& vocabulary_hash() const;
  /// The vocabulary that it was encoded with; loaded on first use.
  [[nodiscard]] std::shared_ptr<const Vocabulary> vocabulary() const;

  [[nodiscard]] std::size_t block_count() const;
  [[nodiscard]] const BlockShape& shape(std::size_t block) const;
  /// Verifies the block's checksum and decodes it into `out`, reusing its memory. Throws Error (data) naming the file,
  /// the block and the byte offset when anything in it is out of bounds or does not match.
  void decode(std::size_t block, Block& out, bool with_sample_ids) const;
  /// Reads all of it: every block and id against its checksum. Throws Error (data: corrupt; io: unreadable).
  void verify() const;

 private:
  struct Impl;
  explicit PackedDataset(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace esmm
