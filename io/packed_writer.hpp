#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "io/file.hpp"
#include "io/manifest.hpp"

namespace esmm {

struct EncodedBlock {
  std::vector<std::byte> bytes;
  BlockShape shape;
};

/// Writes a packed dataset: blocks in the order of `add`, then the rest. Nothing is seen under the dataset's name
/// before `finish`.
class PackedWriter {
 public:
  /// Throws Error (usage) if `directory` exists.
  explicit PackedWriter(const std::string& directory);
  void add(const EncodedBlock& block);
  /// Completes statistics.packed_bytes, writes vocabulary and manifest and gives the dataset its name.
  void finish(const Schema& schema, bool labelled, const Vocabulary& vocabulary, DatasetStatistics statistics);
  /// Where it is being written: temporary files go there too.
  [[nodiscard]] const std::string& staging_path() const { return directory_.path(); }

 private:
  StagedDirectory directory_;
  File file_;
  std::uint64_t end_ = 0;
  Manifest manifest_;
};

}  // namespace esmm
