#include "io/token_store.hpp"

#include <zstd.h>

#include <utility>

#include "kernels/error.hpp"

namespace esmm {
namespace {

constexpr int kLevel = 1;
constexpr std::size_t kFullBytesPerThread = 4U << 20;

struct ImpressionHeader {
  std::uint64_t input_index;
  std::uint32_t common_row;
  std::uint32_t sample_id_bytes;
  std::uint8_t click, conversion;
  std::uint8_t unused[6];
};
static_assert(sizeof(ImpressionHeader) == 24);

template <class T>
void append(const T* values, std::size_t count, std::vector<std::byte>& out) {
  const auto* bytes = reinterpret_cast<const std::byte*>(values);
  out.insert(out.end(), bytes, bytes + count * sizeof(T));
}

}  // namespace

void append_tokens(const FeatureRows& rows, std::size_t row, std::vector<std::byte>& out) {
  const std::size_t begin = row == 0 ? 0 : rows.row_end[row - 1];
  const auto size = static_cast<std::uint32_t>(rows.row_end[row] - begin);
  append(&size, 1, out);
  append(rows.id.data() + begin, size, out);
  append(rows.value.data() + begin, size, out);
  append(rows.field.data() + begin, size, out);
}

void append_tokens(const ImpressionRows& rows, std::size_t row, std::size_t dense, std::uint32_t common_row,
                   std::uint64_t input_index, std::vector<std::byte>& out) {
  const std::string_view sample_id = rows.sample_id[row];
  const ImpressionHeader header{input_index,     common_row,           static_cast<std::uint32_t>(sample_id.size()),
                                rows.click[row], rows.conversion[row], {}};
  append(&header, 1, out);
  append(sample_id.data(), sample_id.size(), out);
  append(rows.dense.data() + row * dense, dense, out);
  append_tokens(rows.features, row, out);
}

TokenRow read_token_row(std::span<const std::byte> tokens, std::size_t& at) {
  std::uint32_t size = 0;
  std::memcpy(&size, tokens.data() + at, sizeof size);
  const TokenRow row(tokens.data() + at + sizeof size, size);
  at += sizeof size + row.bytes();
  return row;
}

ImpressionTokens read_impression_tokens(std::span<const std::byte> tokens, std::size_t dense, std::size_t& at) {
  ImpressionHeader header;
  std::memcpy(&header, tokens.data() + at, sizeof header);
  at += sizeof header;
  ImpressionTokens impression;
  impression.input_index = header.input_index;
  impression.common_row = header.common_row;
  impression.click = header.click;
  impression.conversion = header.conversion;
  impression.sample_id = {reinterpret_cast<const char*>(tokens.data() + at), header.sample_id_bytes};
  at += header.sample_id_bytes;
  impression.dense = tokens.data() + at;
  at += dense * sizeof(float);
  impression.features = read_token_row(tokens, at);
  return impression;
}

TokenStore::TokenStore(const std::string& directory, ThreadPool& pool)
    : file_(File::temporary(directory)), pool_(pool) {}

std::vector<std::byte>& TokenStore::end_of(std::size_t range) {
  if (range >= ranges_.size()) ranges_.resize(range + 1);
  std::vector<std::byte>& buffer = ranges_[range].buffer;
  if (buffer.capacity() == 0 && !spare_.empty()) {
    buffer = std::move(spare_.back());
    spare_.pop_back();
  }
  if (buffer.capacity() == 0) buffer.reserve(buffer_bytes_ + buffer_bytes_ / 8);
  return buffer;
}

void TokenStore::appended(std::size_t range) {
  if (ranges_[range].buffer.size() >= buffer_bytes_) close_buffer(range);
  if (full_bytes_ >= kFullBytesPerThread * static_cast<std::size_t>(pool_.threads())) write_full();
}

void TokenStore::finish(std::size_t range) {
  if (!ranges_[range].buffer.empty()) close_buffer(range);
}

void TokenStore::flush() {
  for (std::size_t range = 0; range < ranges_.size(); ++range)
    if (!ranges_[range].buffer.empty()) close_buffer(range);
  write_full();
  spare_.clear();
}

void TokenStore::close_buffer(std::size_t range) {
  full_bytes_ += ranges_[range].buffer.size();
  full_.push_back({range, std::exchange(ranges_[range].buffer, {}), {}});
}

void TokenStore::write_full() {
  pool_.for_each_chunk(static_cast<std::int64_t>(full_.size()), [&](std::int64_t chunk, int) {
    Full& full = full_[static_cast<std::size_t>(chunk)];
    full.compressed.resize(ZSTD_compressBound(full.raw.size()));
    const std::size_t size =
        ZSTD_compress(full.compressed.data(), full.compressed.size(), full.raw.data(), full.raw.size(), kLevel);
    if (ZSTD_isError(size)) throw internal_error("zstd: {}.", ZSTD_getErrorName(size));
    full.compressed.resize(size);
  });
  for (Full& full : full_) {
    file_.append(full.compressed);
    ranges_[full.range].chunks.push_back({end_, full.compressed.size(), full.raw.size()});
    ranges_[full.range].bytes += full.raw.size();
    end_ += full.compressed.size();
    full.raw.clear();
    spare_.push_back(std::move(full.raw));
  }
  full_.clear();
  full_bytes_ = 0;
}

void TokenStore::read(std::size_t range, std::vector<std::byte>& out) const {
  out.resize(range < ranges_.size() ? ranges_[range].bytes : 0);
  if (out.empty()) return;
  std::vector<std::byte> stored;
  std::size_t at = 0;
  for (const Chunk& chunk : ranges_[range].chunks) {
    stored.resize(chunk.stored);
    file_.read_at(chunk.offset, stored);
    const std::size_t size = ZSTD_decompress(out.data() + at, chunk.bytes, stored.data(), stored.size());
    if (ZSTD_isError(size) || size != chunk.bytes)
      throw io_error("{}: a temporary file has changed on disk. Check the disk and run again.", file_.path());
    at += chunk.bytes;
  }
}

}  // namespace esmm
