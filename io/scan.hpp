#pragma once
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace esmm {

// Scanners for text in a TextChunk: they load eight bytes at a time and so may look up to eight bytes past what they
// accept, which the chunk's padding covers.
static_assert(std::endian::native == std::endian::little, "the first byte of a word must be its lowest");

constexpr std::uint64_t kEveryByte = 0x0101010101010101ULL;

[[nodiscard]] inline std::uint64_t load_word(const char* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

/// Position (0 to 7) of the first byte of the word that equals c, or 8.
[[nodiscard]] inline int find_in_word(std::uint64_t word, char c) {
  const std::uint64_t difference = word ^ (kEveryByte * static_cast<unsigned char>(c));
  const std::uint64_t zero_bytes = (difference - kEveryByte) & ~difference & (kEveryByte * 0x80U);
  return std::countr_zero(zero_bytes) / 8;
}

/// First `c` in [at, end), or `end`. Needs no padding.
[[nodiscard]] inline const char* find_char(const char* at, const char* end, char c) {
  for (; end - at >= 8; at += 8) {
    const int position = find_in_word(load_word(at), c);
    if (position < 8) return at + position;
  }
  while (at != end && *at != c) ++at;
  return at;
}

/// Number of decimal digits that the word begins with (0 to 8).
[[nodiscard]] inline int leading_digits(std::uint64_t word) {
  const std::uint64_t digits = word ^ (kEveryByte * '0');
  const std::uint64_t others = ((digits + kEveryByte * 0x76U) | digits) & (kEveryByte * 0x80U);
  return std::countr_zero(others) / 8;
}

/// Value of the word's first `count` bytes (1 to 8), all decimal digits.
[[nodiscard]] inline std::uint64_t digits_value(std::uint64_t word, int count) {
  std::uint64_t digits = (word ^ (kEveryByte * '0')) << (8 * (8 - count));  // aligned to the last digit, zeros before
  digits = digits * 10 + (digits >> 8U);                                    // pairs
  constexpr std::uint64_t pair = 0x000000FF000000FFULL;
  return ((digits & pair) * 0x000F424000000064ULL + ((digits >> 16U) & pair) * 0x0000271000000001ULL) >> 32U;
}

inline constexpr std::array<std::uint64_t, 9> kPowersOfTen{1,       10,        100,        1'000,      10'000,
                                                           100'000, 1'000'000, 10'000'000, 100'000'000};

/// Reads decimal digits at `at` and moves behind them. Returns how many; with up to 19 the value is exact.
inline int scan_digits(const char*& at, std::uint64_t& value) {
  value = 0;
  for (int total = 0;;) {
    const std::uint64_t word = load_word(at);
    const int count = leading_digits(word);
    if (count > 0) {
      value = value * kPowersOfTen[static_cast<std::size_t>(count)] + digits_value(word, count);
      at += count;
      total += count;
    }
    if (count < 8) return total;
  }
}

/// The id of a whole text of up to 18 digits without leading zeros: the number. False for any other text, which needs
/// feature_id.
[[nodiscard]] inline bool scan_short_id(std::string_view text, std::uint64_t& id) {
  const char* at = text.data();
  const int digits = scan_digits(at, id);
  return digits > 0 && digits <= 18 && at == text.data() + text.size() && (text[0] != '0' || digits == 1);
}

/// Reads a short decimal as "0.69315" and moves behind it. Exact results only: correctly rounded to float, or false
/// (with `at` anywhere) when the text needs scan_float.
inline bool scan_short_float(const char*& at, float& value) {
  static constexpr std::array<double, 16> powers{1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  std::uint64_t mantissa = 0;
  int digits = scan_digits(at, mantissa);
  int decimals = 0;
  if (digits > 0 && *at == '.') {
    ++at;
    std::uint64_t fraction = 0;
    decimals = scan_digits(at, fraction);
    digits += decimals;
    if (decimals == 0 || digits > 15) return false;
    if (decimals > 8) mantissa *= kPowersOfTen[8];
    mantissa = mantissa * kPowersOfTen[static_cast<std::size_t>(decimals > 8 ? decimals - 8 : decimals)] + fraction;
  }
  if (digits == 0 || digits > 15 || (*at | 0x20) == 'e') return false;
  // Both operands are exact doubles, so the quotient is the decimal correctly rounded to double. Rounding once more, to
  // float, can differ from rounding the decimal itself only if the double is a midpoint of two floats.
  const double quotient = static_cast<double>(mantissa) / powers[static_cast<std::size_t>(decimals)];
  constexpr std::uint64_t below_float = (1ULL << 29U) - 1;
  if (decimals > 0 && (std::bit_cast<std::uint64_t>(quotient) & below_float) == (1ULL << 28U)) return false;
  value = static_cast<float>(quotient);
  return true;
}

enum class Scan { ok, not_a_number, out_of_range };

/// The whole text as a decimal number with optional sign "-", fraction and exponent; correctly rounded to float. Tiny
/// numbers become 0; "inf" and "nan" are not numbers.
[[nodiscard]] Scan scan_float(std::string_view text, float& value);

/// The same, tried the short way first.
[[nodiscard]] inline Scan scan_value(std::string_view text, float& value) {
  const char* at = text.data();
  return scan_short_float(at, value) && at == text.data() + text.size() ? Scan::ok : scan_float(text, value);
}

/// The whole text as a decimal number below 2^63.
[[nodiscard]] Scan scan_id(std::string_view text, std::uint64_t& id);

}  // namespace esmm
