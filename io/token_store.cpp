#include "io/token_store.hpp"

#include <algorithm>
#include <bit>

namespace esmm {
namespace {

// A row begins with its size and two flags, then come its fields, ids and values.
constexpr std::uint32_t kWideIds = 1U << 31;
constexpr std::uint32_t kHasValues = 1U << 30;
constexpr std::uint32_t kSizeMask = kHasValues - 1;  // a line has less than 2^26 bytes, so size fits
constexpr std::size_t kMostFeatureBytes = sizeof(std::uint16_t) + sizeof(std::uint64_t) + sizeof(float);
constexpr std::uint32_t kSampleIdBytes = (1U << 30) - 1;

struct ImpressionHeader {
  std::uint64_t input_index;
  std::uint32_t common_row;
  std::uint32_t sample_id_bytes : 30, click : 1, conversion : 1;
};
static_assert(sizeof(ImpressionHeader) == 16);

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

/// Which values are not 1, and these.
std::byte* put_values(std::span<const float> values, std::byte* to) {
  std::byte* const mask = to;
  to += mask_bytes(values.size());
  std::fill(mask, to, std::byte{0});
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool other = values[i] != 1.0F;
    mask[i / kMaskBits] |= static_cast<std::byte>(other) << (i % kMaskBits);
    to = put(&values[i], other ? 1 : 0, to);
  }
  return to;
}

}  // namespace

TokenRow::TokenRow(const std::byte* data) {
  const auto head = load<std::uint32_t>(data, 0);
  size_ = head & kSizeMask;
  wide_ids_ = (head & kWideIds) != 0;
  fields_ = data + sizeof head;
  ids_ = fields_ + size_ * sizeof(std::uint16_t);
  end_ = ids_ + size_ * (wide_ids_ ? sizeof(std::uint64_t) : sizeof(std::uint32_t));
  if ((head & kHasValues) == 0) return;
  values_ = end_;
  end_ += mask_bytes(size_);
  for (const std::byte* bits = values_; bits != values_ + mask_bytes(size_); ++bits)
    end_ += static_cast<std::size_t>(std::popcount(std::to_integer<unsigned>(*bits))) * sizeof(float);
}

void TokenRow::copy_values(std::vector<float>& out) const {
  out.assign(size_, 1.0F);
  if (values_ == nullptr) return;
  const std::byte* const others = values_ + mask_bytes(size_);
  std::size_t next = 0;
  for (std::size_t b = 0; b < mask_bytes(size_); ++b)
    for (auto bits = std::to_integer<unsigned>(values_[b]); bits != 0; bits &= bits - 1)
      out[b * kMaskBits + static_cast<std::size_t>(std::countr_zero(bits))] = load<float>(others, next++);
}

void append_tokens(const FeatureRows& rows, std::size_t row, std::vector<std::byte>& out) {
  const std::size_t first = row == 0 ? 0 : rows.row_end[row - 1];
  const std::size_t size = rows.row_end[row] - first;
  const std::span ids(rows.id.data() + first, size);
  const std::span values(rows.value.data() + first, size);
  const bool wide = std::any_of(ids.begin(), ids.end(), [](std::uint64_t id) { return id >> 32 != 0; });
  const bool has_values = std::any_of(values.begin(), values.end(), [](float value) { return value != 1.0F; });
  const std::uint32_t head = static_cast<std::uint32_t>(size) | (wide ? kWideIds : 0) | (has_values ? kHasValues : 0);

  const std::size_t begin = out.size();
  out.resize(begin + sizeof head + size * kMostFeatureBytes + mask_bytes(size));
  std::byte* to = put(&head, 1, out.data() + begin);
  to = put(rows.field.data() + first, size, to);
  if (wide) {
    to = put(ids.data(), size, to);
  } else {
    for (const std::uint64_t id : ids) {
      const auto narrow = static_cast<std::uint32_t>(id);
      to = put(&narrow, 1, to);
    }
  }
  if (has_values) to = put_values(values, to);
  out.resize(static_cast<std::size_t>(to - out.data()));
}

void append_tokens(const ImpressionRows& rows, std::size_t row, std::size_t dense, std::uint32_t common_row,
                   std::uint64_t input_index, std::vector<std::byte>& out) {
  const std::string_view sample_id = rows.sample_id[row];
  const ImpressionHeader header{input_index, common_row, static_cast<std::uint32_t>(sample_id.size()) & kSampleIdBytes,
                                rows.click[row] != 0, rows.conversion[row] != 0};
  const std::size_t begin = out.size();
  out.resize(begin + sizeof header + sample_id.size() + dense * sizeof(float));
  std::byte* to = put(&header, 1, out.data() + begin);
  to = put(sample_id.data(), sample_id.size(), to);
  put(rows.dense.data() + row * dense, dense, to);
  append_tokens(rows.features, row, out);
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

void TokenStore::read(std::size_t range, std::vector<std::byte>& out) const {
  out.resize(range < ranges_.size() ? ranges_[range].bytes : 0);
  if (out.empty()) return;
  std::size_t at = 0;
  for (const Chunk& chunk : ranges_[range].chunks) {
    file_.read_at(chunk.offset, std::span(out).subspan(at, chunk.bytes));
    at += chunk.bytes;
  }
}

}  // namespace esmm
