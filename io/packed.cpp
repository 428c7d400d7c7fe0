#include "io/packed.hpp"

#include <xxhash.h>

#include <algorithm>
#include <mutex>

#include "io/block_codec.hpp"
#include "io/file.hpp"
#include "io/manifest.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

template <class T>
std::size_t held(const std::vector<T>& column) {
  return column.capacity() * sizeof(T);
}
std::size_t held(const BagColumns& bags) {
  return held(bags.offsets) + held(bags.rows) + held(bags.values);
}

File open_blocks(const std::string& path) {
  require_part(path, "Pack the log again.");
  return File::open(path);
}

BlockLayout layout_of(const Manifest& manifest) {
  BlockLayout layout;
  for (const Field& field : manifest.schema.fields) {
    const auto table = std::find_if(manifest.tables.begin(), manifest.tables.end(),
                                    [&](const auto& entry) { return entry.name == field.table; });
    (field.side == Side::sample ? layout.sample_table_rows : layout.common_table_rows).push_back(table->rows);
  }
  layout.dense = static_cast<std::uint32_t>(manifest.schema.dense.size());
  layout.impressions = manifest.statistics.impressions;
  return layout;
}

}  // namespace

std::size_t Block::bytes() const {
  return held(common_begin) + held(sample) + held(common) + held(dense) + held(click) + held(conversion) +
         held(input_index) + held(sample_id.chars) + held(sample_id.ends);
}

struct PackedDataset::Impl {
  explicit Impl(const std::string& directory)
      : path(directory),
        blocks_path(directory + "/blocks.bin"),
        blocks(open_blocks(blocks_path)),
        manifest(load_manifest(directory, blocks.size())),
        layout(layout_of(manifest)) {
    std::string magic(std::min<std::uint64_t>(blocks.size(), kBlocksMagic.size()), '\0');
    blocks.read_at(0, std::as_writable_bytes(std::span(magic)));
    if (magic != kBlocksMagic)
      throw data_error("{}: does not begin with {}: not a file of blocks. Pack the log again.", blocks_path,
                       kBlocksMagic);
  }

  /// The block's bytes, read into `buffer` and checked: what is decoded is what was checked, whatever becomes of the
  /// file.
  [[nodiscard]] std::span<const std::byte> read(std::size_t block, std::vector<std::byte>& buffer) const;

  std::string path, blocks_path;
  File blocks;
  Manifest manifest;
  BlockLayout layout;
  mutable std::mutex mutex;
  mutable std::shared_ptr<const Vocabulary> vocabulary;  // guarded by the mutex
};

PackedDataset::PackedDataset(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PackedDataset::~PackedDataset() = default;

std::shared_ptr<const PackedDataset> PackedDataset::open(const std::string& directory) {
  return std::shared_ptr<const PackedDataset>(new PackedDataset(std::make_unique<Impl>(directory)));
}

const std::string& PackedDataset::path() const {
  return impl_->path;
}
const Schema& PackedDataset::schema() const {
  return impl_->manifest.schema;
}
bool PackedDataset::labelled() const {
  return impl_->manifest.labelled;
}
const DatasetStatistics& PackedDataset::statistics() const {
  return impl_->manifest.statistics;
}
const std::string& PackedDataset::vocabulary_hash() const {
  return impl_->manifest.vocabulary_hash;
}
std::size_t PackedDataset::block_count() const {
  return impl_->manifest.blocks.size();
}
const BlockShape& PackedDataset::shape(std::size_t block) const {
  return impl_->manifest.blocks.at(block).shape;
}

std::shared_ptr<const Vocabulary> PackedDataset::vocabulary() const {
  const std::lock_guard lock(impl_->mutex);
  if (impl_->vocabulary == nullptr) {
    const std::string directory = impl_->path + "/vocab";
    require_part(directory, "Pack the log again.");
    auto loaded = Vocabulary::load(directory);
    if (loaded->hash() != vocabulary_hash())
      throw data_error("{}: not the vocabulary that the dataset was packed with. Pack the log again.", directory);
    impl_->vocabulary = std::move(loaded);
  }
  return impl_->vocabulary;
}

std::span<const std::byte> PackedDataset::Impl::read(std::size_t block, std::vector<std::byte>& buffer) const {
  const Manifest::BlockEntry& entry = manifest.blocks.at(block);
  buffer.resize(entry.bytes);
  blocks.read_at(entry.offset, buffer);
  if (XXH3_64bits(buffer.data(), buffer.size()) != entry.checksum)
    throw data_error("{}: block {}, byte {}: does not match its checksum. The file is corrupt: pack the log again.",
                     blocks_path, block, entry.offset);
  return buffer;
}

void PackedDataset::verify() const {
  std::vector<std::byte> buffer;
  for (std::size_t block = 0; block < block_count(); ++block) static_cast<void>(impl_->read(block, buffer));
  static_cast<void>(vocabulary());
}

void PackedDataset::decode(std::size_t block, Block& out, bool with_sample_ids) const {
  std::vector<std::byte> buffer;
  const std::span<const std::byte> bytes = impl_->read(block, buffer);
  const Manifest::BlockEntry& entry = impl_->manifest.blocks.at(block);
  decode_block(bytes, entry.shape, impl_->layout, {impl_->blocks_path, block, entry.offset}, with_sample_ids, out);
}

}  // namespace esmm
