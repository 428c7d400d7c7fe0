#include "io/token_store.hpp"

#include <gmock/gmock.h>

#include <bit>
#include <limits>

#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

/// Rows of every form: empty, without values, with values that compare like 1 or like nothing, with runs and fields
/// beyond one byte.
FeatureRows rows_of_every_form() {
  FeatureRows rows;
  const auto add = [&](int field, float value) {
    rows.field.push_back(static_cast<std::uint16_t>(field));
    rows.id.push_back(rows.id.size());
    rows.value.push_back(value);
  };
  const auto end_row = [&] { rows.row_end.push_back(rows.id.size()); };
  end_row();
  for (int i = 0; i < 9; ++i) add(i / 4, 1);
  end_row();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float value : {0.5F, 1.0F, -0.0F, nan, 1.0F + std::numeric_limits<float>::epsilon(), 0.0F}) add(3, value);
  end_row();
  for (int i = 0; i < 70'000; ++i) add(i < 69'000 ? 65'534 : i % 300, i % 7 == 0 ? 2.0F : 1.0F);
  end_row();
  return rows;
}

std::vector<std::uint32_t> codes_of(const FeatureRows& rows) {
  std::vector<std::uint32_t> codes;
  for (const std::uint64_t id : rows.id) codes.push_back(static_cast<std::uint32_t>(id * 2'654'435'761U));
  return codes;
}

void expect_row(const TokenRow& token, const FeatureRows& rows, std::size_t row) {
  const std::size_t first = row == 0 ? 0 : rows.row_end[row - 1];
  ASSERT_EQ(token.size(), rows.row_end[row] - first);
  std::vector<std::uint16_t> fields;
  token.for_each_run([&](std::size_t field, std::size_t begin, std::size_t end) {
    EXPECT_EQ(begin, fields.size());
    fields.resize(end, static_cast<std::uint16_t>(field));
  });
  std::vector<float> values{7, 7};
  token.copy_values(values);
  ASSERT_EQ(fields.size(), token.size());
  ASSERT_EQ(values.size(), token.size());
  const auto codes = codes_of(rows);
  for (std::size_t i = 0; i < token.size(); ++i) {
    ASSERT_EQ(token.code(i), codes[first + i]) << "row " << row << ", feature " << i;
    ASSERT_EQ(fields[i], rows.field[first + i]) << "row " << row << ", feature " << i;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(values[i]), std::bit_cast<std::uint32_t>(rows.value[first + i]))
        << "row " << row << ", feature " << i;
  }
}

TEST(TokenRow, GivesBackFieldsCodesAndTheBitsOfValues) {
  const FeatureRows rows = rows_of_every_form();
  std::vector<std::byte> tokens;
  for (std::size_t row = 0; row < rows.row_end.size(); ++row) append_tokens(rows, row, codes_of(rows), tokens);
  std::size_t at = 0;
  for (std::size_t row = 0; row < rows.row_end.size(); ++row) expect_row(read_token_row(tokens, at), rows, row);
  EXPECT_EQ(at, tokens.size());
}

TEST(TokenStore, KeepsRangesApartThatGrowInTurn) {
  const test::TemporaryDirectory directory;
  const FeatureRows rows = rows_of_every_form();
  const std::size_t ranges = 3, rounds = 5;
  TokenStore store(directory / ".");
  store.set_buffer_bytes(100);  // some rows fill a buffer, others share one
  for (std::size_t round = 0; round < rounds; ++round)
    for (std::size_t range = 0; range < ranges; ++range) {
      append_tokens(rows, (round + range) % rows.row_end.size(), codes_of(rows), store.end_of(range));
      store.appended(range);
      if (range == 0 && round + 1 == rounds) store.finish(range);
    }
  store.flush();
  ASSERT_EQ(store.ranges(), ranges);
  std::vector<std::byte> memory;
  for (std::size_t range = 0; range < ranges; ++range) {
    const auto tokens = store.read(range, memory);
    std::size_t at = 0;
    for (std::size_t round = 0; round < rounds; ++round)
      expect_row(read_token_row(tokens, at), rows, (round + range) % rows.row_end.size());
    EXPECT_EQ(at, tokens.size());
  }
  EXPECT_TRUE(store.read(ranges, memory).empty());
}

}  // namespace
}  // namespace esmm
