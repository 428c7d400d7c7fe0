#include "io/token_store.hpp"

#include <algorithm>
#include <bit>

namespace esmm {
namespace {

struct ImpressionHeader {
  std::uint64_t input_index;
  std::uint32_t common_row;
  std::uint32_t sample_id_bytes : 30, click : 1, conversion : 1;
};
static_assert(sizeof(ImpressionHeader) == 16);
constexpr std::uint32_t kSampleIdBytes = (1U << 30) - 1;  // lines are shorter

constexpr std::size_t kMaskBits = 8;

std::size_t mask_bytes(std::size_t size) {
  return (size + kMaskBits - 1) / kMaskBits;
}

/// Writes values to memory that is large enough.
template <class T>
std::byte* put(const T* values, std::size_t count, std::byte* to) {
  if (count > 0) std::memcpy(to, values, count * sizeof(T));
  return to + count * sizeof(T);
}

constexpr std::size_t kMostVarintBytes = 5;  // of a number below 2^32

std::byte* put_varint(std::size_t value, std::byte* to) {
  for (; value >= 0x80; value >>= 7) *to++ = static_cast<std::byte>(value | 0x80);
  *to++ = static_cast<std::byte>(value);
  return to;
}

}  // namespace

TokenRow::TokenRow(const std::byte* data) : head_(load<Head>(data, 0)) {
  runs_ = data + sizeof head_;
  codes_ = runs_ + head_.run_bytes;
  has_value_ = codes_ + head_.features * sizeof(std::uint32_t);
  values_ = has_value_ + (head_.values == 0 ? 0 : mask_bytes(head_.features));
}

const std::byte* TokenRow::end() const {
  return values_ + head_.values * sizeof(float);
}

void TokenRow::copy_values(std::vector<float>& out) const {
  out.assign(size(), 1.0F);
  std::size_t next = 0;
  for (std::size_t b = 0; next < head_.values; ++b)
    for (auto bits = std::to_integer<unsigned>(has_value_[b]); bits != 0; bits &= bits - 1)
      out[b * kMaskBits + static_cast<std::size_t>(std::countr_zero(bits))] = load<float>(values_, next++);
}

void append_tokens(const FeatureRows& rows, std::size_t row, std::span<const std::uint32_t> codes,
                   std::vector<std::byte>& out) {
  constexpr std::size_t kMostPerFeature = 2 * kMostVarintBytes + sizeof(std::uint32_t) + sizeof(float);
  const std::size_t first = row == 0 ? 0 : rows.row_end[row - 1];
  const std::size_t size = rows.row_end[row] - first;
  const std::uint16_t* const field = rows.field.data() + first;
  const float* const value = rows.value.data() + first;
  const std::size_t begin = out.size();
  out.resize(begin + sizeof(TokenRow::Head) + size * kMostPerFeature + mask_bytes(size));
  std::byte* const head_at = out.data() + begin;
  std::byte* to = head_at + sizeof(TokenRow::Head);

  TokenRow::Head head{static_cast<std::uint32_t>(size), 0, 0};
  for (std::size_t i = 0; i < size;) {
    const std::size_t run = i;
    while (i < size && field[i] == field[run]) ++i;
    to = put_varint(field[run], to);
    to = put_varint(i - run, to);
  }
  head.run_bytes = static_cast<std::uint32_t>(to - head_at - sizeof head);
  to = put(codes.data() + first, size, to);
  std::byte* const mask = to;
  std::byte* const values = mask + mask_bytes(size);
  std::fill(mask, values, std::byte{0});
  for (std::size_t i = 0; i < size; ++i) {
    const bool stored = value[i] != 1.0F;
    mask[i / kMaskBits] |= static_cast<std::byte>(stored) << (i % kMaskBits);
    std::memcpy(values + head.values * sizeof(float), &value[i], sizeof(float));
    head.values += stored ? 1 : 0;
  }
  if (head.values > 0) to = values + head.values * sizeof(float);
  put(&head, 1, head_at);
  out.resize(static_cast<std::size_t>(to - out.data()));
}

void append_tokens(const ImpressionRows& rows, std::size_t row, std::span<const std::uint32_t> codes, std::size_t dense,
                   std::uint32_t common_row, std::uint64_t input_index, std::vector<std::byte>& out) {
  const std::string_view sample_id = rows.sample_id[row];
  const ImpressionHeader header{input_index, common_row, static_cast<std::uint32_t>(sample_id.size()) & kSampleIdBytes,
                                rows.click[row] != 0, rows.conversion[row] != 0};
  const std::size_t begin = out.size();
  out.resize(begin + sizeof header + sample_id.size() + dense * sizeof(float));
  std::byte* to = put(&header, 1, out.data() + begin);
  to = put(sample_id.data(), sample_id.size(), to);
  put(rows.dense.data() + row * dense, dense, to);
  append_tokens(rows.features, row, codes, out);
}

TokenRow read_token_row(std::span<const std::byte> tokens, std::size_t& at) {
  const TokenRow row(tokens.data() + at);
  at = static_cast<std::size_t>(row.end() - tokens.data());
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

TokenStore::TokenStore(const std::string& directory) : file_(File::temporary(directory)) {}

std::vector<std::byte>& TokenStore::end_of(std::size_t range) {
  if (range >= ranges_.size()) ranges_.resize(range + 1);
  std::vector<std::byte>& buffer = ranges_[range].buffer;
  if (buffer.capacity() == 0) buffer.reserve(buffer_bytes_ + buffer_bytes_ / 8);
  return buffer;
}

void TokenStore::appended(std::size_t range) {
  if (ranges_[range].buffer.size() >= buffer_bytes_) write(ranges_[range]);
}

void TokenStore::finish(std::size_t range) {
  write(ranges_[range]);
  ranges_[range].buffer = {};
}

void TokenStore::flush() {
  for (std::size_t range = 0; range < ranges_.size(); ++range) finish(range);
}

void TokenStore::write(Range& range) {
  if (range.buffer.empty()) return;
  file_.append(range.buffer);
  range.chunks.push_back({end_, range.buffer.size()});
  range.bytes += range.buffer.size();
  end_ += range.buffer.size();
  range.buffer.clear();
}

std::span<const std::byte> TokenStore::read(std::size_t range, std::vector<std::byte>& memory) const {
  if (range >= ranges_.size()) return {};
  const std::size_t bytes = ranges_[range].bytes;
  if (memory.size() < bytes) memory = std::vector<std::byte>(bytes);  // nothing of the old is to be copied
  const std::span out = std::span(memory).first(bytes);
  std::size_t at = 0;
  for (const Chunk& chunk : ranges_[range].chunks) {
    file_.read_at(chunk.offset, out.subspan(at, chunk.bytes));
    at += chunk.bytes;
  }
  return out;
}

}  // namespace esmm
