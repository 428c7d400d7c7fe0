#include "io/packed_writer.hpp"

#include <xxhash.h>

#include <utility>

namespace esmm {

PackedWriter::PackedWriter(const std::string& directory)
    : directory_(directory), file_(File::create(directory_.path() + "/blocks.bin")), end_(kBlocksMagic.size()) {
  file_.append(std::as_bytes(std::span(kBlocksMagic)));
}

void PackedWriter::add(const EncodedBlock& block) {
  file_.append(block.bytes);
  manifest_.blocks.push_back(
      {end_, block.bytes.size(), XXH3_64bits(block.bytes.data(), block.bytes.size()), block.shape});
  end_ += block.bytes.size();
}

void PackedWriter::finish(const Schema& schema, bool labelled, const Vocabulary& vocabulary,
                          DatasetStatistics statistics) {
  file_.sync();
  vocabulary.save(directory_.path() + "/vocab");
  statistics.packed_bytes = end_;
  for (const Vocabulary::Table& table : vocabulary.tables()) {
    statistics.packed_bytes += table.ids.size() * sizeof(std::uint64_t);
    manifest_.tables.push_back({table.name, table.rows});
  }
  manifest_.schema = schema;
  manifest_.labelled = labelled;
  manifest_.vocabulary_hash = vocabulary.hash();
  manifest_.statistics = std::move(statistics);
  save_manifest(directory_.path(), manifest_);
  directory_.commit();
}

}  // namespace esmm
