#include "io/scan.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>

#include "io/key_set.hpp"
#include "io/text_source.hpp"

namespace esmm {
namespace {

constexpr std::uint64_t kTop = 1ULL << 63U;

Scan scan_decimal(const std::string& text, float& value) {
  const std::string padded = text + std::string(TextChunk::kPadding, '\0');
  return scan_value(std::string_view(padded).substr(0, text.size()), value);
}

TEST(ScanFloat, RoundsCorrectlyOnRandomDecimals) {
  std::mt19937_64 random(7);
  const auto digits = [&](int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += static_cast<char>('0' + random() % 10);
    return text;
  };
  for (int i = 0; i < 200'000; ++i) {
    std::string text = random() % 16 == 0 ? "-" : "";
    text += digits(static_cast<int>(random() % 9) + 1);
    if (random() % 8 != 0) text.append(".").append(digits(static_cast<int>(random() % 14) + 1));
    if (random() % 16 == 0) text += fmt::format("e{}", static_cast<int>(random() % 60) - 30);
    float value = -1;
    ASSERT_EQ(scan_decimal(text, value), Scan::ok) << text;
    ASSERT_EQ(value, std::strtof(text.c_str(), nullptr)) << text;
  }
}

TEST(ScanFloat, RoundsOnceNextToTheMidpointsOfFloats) {
  // A midpoint of two floats in [8, 10) has 25 significant bits and 21 decimals. Cut to 14 decimals it is another
  // number, whose double is the midpoint itself in about one case of six: rounding that double to even is then wrong
  // half of the time.
  std::mt19937_64 random(11);
  int doubles_at_midpoint = 0;
  for (int i = 0; i < 100'000; ++i) {
    const auto odd = static_cast<double>((1U << 24U) + 2 * (random() % (1U << 21U)) + 1);
    const double midpoint = odd / static_cast<double>(1U << 21U);
    const std::string text = fmt::format("{:.14f}", midpoint);
    if (std::strtod(text.c_str(), nullptr) == midpoint) ++doubles_at_midpoint;
    float value = -1;
    ASSERT_EQ(scan_decimal(text, value), Scan::ok) << text;
    ASSERT_EQ(value, std::strtof(text.c_str(), nullptr)) << text;
  }
  EXPECT_GT(doubles_at_midpoint, 10'000);
}

TEST(ScanFloat, ReadsTheUsualFormsAndTheLimits) {
  const std::vector<std::pair<std::string, float>> expected{{"1.0", 1.0F},
                                                            {"0.69315", 0.69315F},
                                                            {"1e-3", 1e-3F},
                                                            {"1E3", 1000.0F},
                                                            {"5.", 5.0F},
                                                            {".5", 0.5F},
                                                            {"-0.25", -0.25F},
                                                            {"16777217", 16777216},
                                                            {"1e-50", 0.0F},
                                                            {"3.4028235e38", 3.4028235e38F},
                                                            {"0007", 7.0F},
                                                            {"1e-45", 1e-45F},
                                                            {"0.1234567890123456789", 0.12345679F},
                                                            {"100000000000000000000", 1e20F}};
  for (const auto& [text, number] : expected) {
    float value = -1;
    EXPECT_EQ(scan_decimal(text, value), Scan::ok) << text;
    EXPECT_EQ(value, number) << text;
  }
}

TEST(ScanFloat, RefusesWhatIsNotAFiniteDecimal) {
  float value = 0;
  for (const char* text : {"", "inf", "-inf", "nan", "NaN", "infinity", "1.5x", "x", "1,5", "+1", " 1", "1 ", "0x10",
                           "1e", "-", ".", "1..2", "1.2.3"}) {
    EXPECT_EQ(scan_decimal(text, value), Scan::not_a_number) << text;
  }
  for (const char* text : {"1e39", "-3.5e38", "1e400"})
    EXPECT_EQ(scan_decimal(text, value), Scan::out_of_range) << text;
}

TEST(ScanId, AcceptsNumbersBelowTwoToTheSixtyThird) {
  std::uint64_t id = 0;
  EXPECT_EQ(scan_id("9223372036854775807", id), Scan::ok);
  EXPECT_EQ(id, kTop - 1);
  EXPECT_EQ(scan_id("9223372036854775808", id), Scan::out_of_range);
  EXPECT_EQ(scan_id("99999999999999999999999", id), Scan::out_of_range);
  for (const char* text : {"", "-1", "+1", "1.0", "a", "1a"}) EXPECT_EQ(scan_id(text, id), Scan::not_a_number) << text;
}

TEST(ScanDigits, GivesEveryNumberOfUpToNineteenDigits) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t number = random() >> (random() % 64);
    if (number >= kTop) continue;
    const std::string text = fmt::format("{}{}1234567890123456789012345678901", number, i % 2 == 0 ? '\x03' : ',');
    const char* at = text.data();
    std::uint64_t value = 0;
    ASSERT_EQ(static_cast<std::size_t>(scan_digits(at, value)), std::to_string(number).size());
    ASSERT_EQ(value, number);
    ASSERT_EQ(at, text.data() + std::to_string(number).size());
  }
}

TEST(FindChar, FindsTheFirstOneAtEveryDistance) {
  for (std::size_t size = 0; size < 40; ++size) {
    for (std::size_t position = 0; position < size; ++position) {
      std::string text(size, '\x03');  // differs from \x02 in one bit
      text[position] = '\x02';
      text.back() = '\x02';
      EXPECT_EQ(find_char(text.data(), text.data() + size, '\x02') - text.data(),
                static_cast<std::ptrdiff_t>(position));
    }
    const std::string none(size, '\x82');
    EXPECT_EQ(find_char(none.data(), none.data() + size, '\x02'), none.data() + size);
  }
}

TEST(KeySet, SaysOnceThatAKeyIsNew) {
  KeySet set;
  EXPECT_TRUE(set.insert({}));
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 50'000; ++i) EXPECT_EQ(set.insert(common_key(std::to_string(i))), round == 0);
  }
  EXPECT_FALSE(set.insert({}));
  EXPECT_TRUE(set.insert({~0ULL, ~0ULL}));  // the last slot, where probing wraps around
  EXPECT_TRUE(set.insert({~0ULL, 1}));
  EXPECT_FALSE(set.insert({~0ULL, ~0ULL}));
}

}  // namespace
}  // namespace esmm
