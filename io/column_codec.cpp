#include "io/column_codec.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "kernels/error.hpp"

namespace esmm {
namespace {

static_assert(std::endian::native == std::endian::little, "the packed format is little-endian, read in place");

constexpr int kLevel = 1;  // measured on Ali-CCP-like ids: smaller than level 3 (no far matches in symbols), and faster
constexpr std::uint32_t kDirect = 32;  // values below are their own symbol
constexpr std::uint32_t kSymbols = kDirect + 27 * 8;
constexpr std::size_t kMostCodes = 1U << 16;
enum class FloatCoding : std::uint8_t { dictionary, raw };

std::uint32_t extra_bits(std::uint32_t symbol) {
  return symbol < kDirect ? 0 : 2 + (symbol - kDirect) / 8;
}

std::uint32_t base_value(std::uint32_t symbol) {
  return symbol < kDirect ? symbol : (8 + (symbol - kDirect) % 8) << extra_bits(symbol);
}

std::uint32_t symbol_of(std::uint32_t value) {
  if (value < kDirect) return value;
  const auto exponent = static_cast<std::uint32_t>(std::bit_width(value)) - 1;  // 5 … 31
  return kDirect + (exponent - 5) * 8 + ((value >> (exponent - 3)) & 7);
}

struct SymbolTable {
  struct Entry {
    std::uint32_t base = 0, mask = 0, bits = 0;
  };
  std::array<Entry, kSymbols> of{};
  SymbolTable() {
    for (std::uint32_t s = 0; s < kSymbols; ++s) of[s] = {base_value(s), (1U << extra_bits(s)) - 1, extra_bits(s)};
  }
};
const SymbolTable kTable;

void append_frame(ZSTD_CCtx* context, std::span<const std::byte> raw, std::vector<std::byte>& out) {
  const std::size_t begin = out.size();
  out.resize(begin + ZSTD_compressBound(raw.size()));
  const std::size_t size = ZSTD_compress2(context, out.data() + begin, out.size() - begin, raw.data(), raw.size());
  if (ZSTD_isError(size)) throw internal_error("zstd: {}.", ZSTD_getErrorName(size));
  out.resize(begin + size);
}

/// Fills `out` with the values of `symbols` (all known to be valid). False when the bits run out.
bool join_bits(std::span<const std::uint8_t> symbols, std::span<const std::byte> bits, std::uint32_t* out) {
  std::uint64_t at = 0;  // in bits
  const std::uint64_t end = std::uint64_t{bits.size()} * 8;
  const auto value = [&](std::uint8_t symbol, std::uint64_t word) {
    const SymbolTable::Entry entry = kTable.of[symbol];
    const auto low = static_cast<std::uint32_t>(word >> (at & 7)) & entry.mask;
    at += entry.bits;
    return entry.base + low;
  };
  constexpr std::size_t kStep = 8;
  constexpr std::uint64_t kStepBits = kStep * 28 + 7 + 64;
  std::size_t i = 0;
  for (; i + kStep <= symbols.size() && at + kStepBits <= end; i += kStep)
    for (std::size_t k = 0; k < kStep; ++k) {
      std::uint64_t word = 0;
      std::memcpy(&word, bits.data() + (at >> 3), sizeof word);
      out[i + k] = value(symbols[i + k], word);
    }
  for (; i < symbols.size(); ++i) {
    std::uint64_t word = 0;
    if (at < end) std::memcpy(&word, bits.data() + (at >> 3), std::min<std::size_t>(8, bits.size() - (at >> 3)));
    out[i] = value(symbols[i], word);
    if (at > end) return false;
  }
  return (at + 7) / 8 == bits.size();
}

}  // namespace

ColumnEncoder::ColumnEncoder() : context_(ZSTD_createCCtx(), &ZSTD_freeCCtx) {
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, kLevel);
}

void ColumnEncoder::integers(std::span<const std::uint32_t> values) {
  constexpr std::size_t kMostBitBytes = 4;  // per value; the last may be written as a whole word
  symbols_.resize(std::max(symbols_.size(), values.size()));
  bits_.resize(std::max(bits_.size(), values.size() * kMostBitBytes + sizeof(std::uint64_t)));
  std::byte* to = bits_.data();
  std::uint64_t pending = 0;
  std::uint32_t pending_bits = 0;  // less than 8 after each value
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint32_t symbol = symbol_of(values[i]);
    symbols_[i] = static_cast<std::byte>(symbol);
    pending |= std::uint64_t{values[i] - kTable.of[symbol].base} << pending_bits;
    pending_bits += kTable.of[symbol].bits;
    std::memcpy(to, &pending, sizeof pending);
    to += pending_bits / 8;
    pending >>= pending_bits / 8 * 8;
    pending_bits %= 8;
  }
  if (pending_bits > 0) ++to;
  const std::span bits(bits_.data(), static_cast<std::size_t>(to - bits_.data()));
  const std::size_t header = out_.size();
  number(std::uint32_t{0});
  number(static_cast<std::uint32_t>(bits.size()));
  append_frame(context_.get(), std::span(symbols_).first(values.size()), out_);
  const auto frame_bytes = static_cast<std::uint32_t>(out_.size() - header - 8);
  std::memcpy(out_.data() + header, &frame_bytes, sizeof frame_bytes);
  out_.insert(out_.end(), bits.begin(), bits.end());
}

void ColumnEncoder::integers64(std::span<const std::uint64_t> values) {
  for (const int shift : {0, 32}) {
    half_.clear();
    for (const std::uint64_t value : values) half_.push_back(static_cast<std::uint32_t>(value >> shift));
    integers(half_);
  }
}

void ColumnEncoder::floats(std::span<const float> values) {
  if (!count_distinct(values, std::min(kMostCodes, values.size() / 2 + 1))) {
    number(FloatCoding::raw);
    bytes(std::as_bytes(values));
    return;
  }
  std::sort(distinct_.begin(), distinct_.end(), [](const Distinct& a, const Distinct& b) {
    return a.count != b.count ? a.count > b.count : a.bits < b.bits;
  });
  half_.resize(distinct_.size());  // the code of each number
  std::vector<std::uint32_t> dictionary;
  for (std::uint32_t code = 0; code < distinct_.size(); ++code) {
    half_[distinct_[code].number] = code;
    dictionary.push_back(distinct_[code].bits);
  }
  for (std::uint32_t& code : codes_) code = half_[code];
  number(FloatCoding::dictionary);
  bytes(std::as_bytes(std::span(dictionary)));
  integers(codes_);
}

bool ColumnEncoder::count_distinct(std::span<const float> values, std::size_t limit) {
  number_of_.reset(0);
  distinct_.clear();
  codes_.resize(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(values[i]);
    std::uint32_t& number = number_of_(bits, mix);  // counting from 1
    if (number == 0) {
      if (distinct_.size() == limit) return false;
      distinct_.push_back({bits, 0, static_cast<std::uint32_t>(distinct_.size())});
      number = static_cast<std::uint32_t>(distinct_.size());
    }
    codes_[i] = number - 1;
    ++distinct_[codes_[i]].count;
  }
  return true;
}

void ColumnEncoder::bytes(std::span<const std::byte> values) {
  const std::size_t header = out_.size();
  number(std::uint32_t{0});
  append_frame(context_.get(), values, out_);
  const auto frame_bytes = static_cast<std::uint32_t>(out_.size() - header - 4);
  std::memcpy(out_.data() + header, &frame_bytes, sizeof frame_bytes);
}

ColumnDecoder::ColumnDecoder(std::span<const std::byte> bytes, const BlockPlace& place)
    : context_(ZSTD_createDCtx(), &ZSTD_freeDCtx), bytes_(bytes), place_(place) {}

void ColumnDecoder::fail(const std::string& what) const {
  throw data_error("{}: block {}, byte {}: {}. The file is corrupt: pack the log again.", place_.file, place_.block,
                   place_.offset + at_, what);
}

std::span<const std::byte> ColumnDecoder::take(std::size_t count) {
  if (count > remaining()) fail(fmt::format("{} bytes expected, {} left", count, remaining()));
  const auto taken = bytes_.subspan(at_, count);
  at_ += count;
  return taken;
}

void ColumnDecoder::frame(std::size_t frame_bytes, std::size_t count, void* out) {
  const auto source = take(frame_bytes);
  const std::size_t size = ZSTD_decompressDCtx(context_.get(), out, count, source.data(), source.size());
  if (ZSTD_isError(size)) fail(fmt::format("not a zstd frame of {} bytes: {}", count, ZSTD_getErrorName(size)));
  if (size != count) fail(fmt::format("{} elements expected, {} found", count, size));
}

void ColumnDecoder::integers(std::size_t count, std::vector<std::uint32_t>& out) {
  const auto frame_bytes = number<std::uint32_t>();
  const auto bit_bytes = number<std::uint32_t>();
  if (count > frame_bytes * kMostPerByte) fail(fmt::format("{} integers cannot be in {} bytes", count, frame_bytes));
  symbols_.resize(count);
  out.resize(count);
  frame(frame_bytes, count, symbols_.data());
  const auto bits = take(bit_bytes);
  std::uint8_t largest = 0;
  for (const std::uint8_t symbol : symbols_) largest = std::max(largest, symbol);
  if (largest >= kSymbols) fail("invalid symbol in a column of integers");
  if (largest < kDirect && bits.empty()) {
    for (std::size_t i = 0; i < count; ++i) out[i] = symbols_[i];
  } else if (!join_bits(symbols_, bits, out.data())) {
    fail("a column of integers does not match its bits");
  }
}

void ColumnDecoder::integers64(std::size_t count, std::vector<std::uint64_t>& out) {
  integers(count, half_);
  integers(count, codes_);
  out.resize(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = half_[i] | std::uint64_t{codes_[i]} << 32;
}

void ColumnDecoder::floats(std::size_t count, std::vector<float>& out) {
  const auto coding = number<FloatCoding>();
  std::vector<char> raw;
  bytes(std::max(count, kMostCodes) * sizeof(float), raw);
  const std::size_t found = raw.size() / sizeof(float);
  if (raw.size() % sizeof(float) != 0) fail("a column of decimals does not hold whole numbers");
  if (coding == FloatCoding::raw) {
    if (found != count) fail(fmt::format("{} decimals expected, {} found", count, found));
    out.resize(count);
    if (count > 0) std::memcpy(out.data(), raw.data(), raw.size());
    return;
  }
  if (coding != FloatCoding::dictionary) fail("unknown coding of a column of decimals");
  integers(count, codes_);
  std::vector<float> dictionary(found);
  if (found > 0) std::memcpy(dictionary.data(), raw.data(), raw.size());
  std::uint32_t largest = 0;
  for (const std::uint32_t code : codes_) largest = std::max(largest, code);
  if (count > 0 && largest >= found) fail("a code beyond its dictionary");
  out.resize(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = dictionary[codes_[i]];
}

void ColumnDecoder::bytes(std::size_t limit, std::vector<char>& out) {
  const auto frame_bytes = number<std::uint32_t>();
  if (frame_bytes > remaining()) fail(fmt::format("{} bytes expected, {} left", frame_bytes, remaining()));
  const std::uint64_t size = ZSTD_getFrameContentSize(bytes_.data() + at_, frame_bytes);
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN) fail("not a zstd frame with its size");
  if (size > limit || size > frame_bytes * kMostPerByte)
    fail(fmt::format("{} bytes in a frame of {}: at most {} are possible", size, frame_bytes, limit));
  out.resize(size);
  frame(frame_bytes, size, out.data());
}

}  // namespace esmm
