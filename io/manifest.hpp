#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "io/packed.hpp"

namespace esmm {

/// Everything of a packed dataset but its blocks and ids.
struct Manifest {
  struct BlockEntry {
    std::uint64_t offset = 0, bytes = 0, checksum = 0;  // in blocks.bin; XXH3-64
    BlockShape shape;
  };
  struct TableEntry {
    std::string name;
    std::uint32_t rows = 1;
  };
  Schema schema;
  bool labelled = true;
  DatasetStatistics statistics;
  std::string vocabulary_hash;
  std::vector<TableEntry> tables;  // of the vocabulary
  std::vector<BlockEntry> blocks;
};

inline constexpr std::string_view kBlocksMagic = "ESMMBLK1";  // the first bytes of blocks.bin

void save_manifest(const std::string& directory, const Manifest& manifest);
/// Throws Error (data) unless the manifest is whole and consistent, and fits the size of blocks.bin.
[[nodiscard]] Manifest load_manifest(const std::string& directory, std::uint64_t blocks_bytes);

}  // namespace esmm
