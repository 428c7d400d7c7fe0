#include "io/block_codec.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <random>

#include "kernels/error.hpp"

namespace esmm {
namespace {

using ::testing::ElementsAreArray;
const std::string kFile = "blocks.bin";

template <class T, class Encode, class Decode>
void expect_round_trip(const std::vector<T>& values, Encode encode, Decode decode) {
  ColumnEncoder encoder;
  encode(encoder, values);
  const auto bytes = encoder.take();
  const BlockPlace place{kFile};
  ColumnDecoder decoder(bytes, place);
  std::vector<T> decoded;
  decode(decoder, values.size(), decoded);
  EXPECT_EQ(decoder.remaining(), 0U);
  ASSERT_EQ(decoded.size(), values.size());
  EXPECT_EQ(std::memcmp(decoded.data(), values.data(), values.size() * sizeof(T)), 0);
}

void expect_integers_survive(const std::vector<std::uint32_t>& values) {
  expect_round_trip(
      values, [](auto& e, const auto& v) { e.integers(v); },
      [](auto& d, std::size_t n, auto& out) { d.integers(n, out); });
}
std::uint32_t any_magnitude(std::mt19937& random) {
  const auto bits = static_cast<std::uint32_t>(random());
  return bits >> (random() % 32);
}
void expect_floats_survive(const std::vector<float>& values) {
  expect_round_trip(
      values, [](auto& e, const auto& v) { e.floats(v); }, [](auto& d, std::size_t n, auto& out) { d.floats(n, out); });
}

TEST(ColumnCodec, KeepsIntegersAroundEveryPowerOfTwo) {
  std::vector<std::uint32_t> values{0};
  for (std::uint32_t bit = 0; bit < 32; ++bit)
    for (const std::uint32_t offset : {0U, 1U, 2U, 0xFFFFFFFFU}) values.push_back((1U << bit) + offset);
  values.push_back(std::numeric_limits<std::uint32_t>::max());
  expect_integers_survive(values);
  for (const std::uint32_t value : values) expect_integers_survive({value});
}

TEST(ColumnCodec, KeepsIntegersOfEveryLengthOfColumn) {
  std::mt19937 random(3);
  std::vector<std::uint32_t> values;
  for (int n = 0; n < 70; ++n) {
    expect_integers_survive(values);
    values.push_back(any_magnitude(random));
  }
  for (int n = 0; n < 100'000; ++n) values.push_back(any_magnitude(random));
  expect_integers_survive(values);
}

TEST(ColumnCodec, KeepsWideIntegers) {
  std::mt19937_64 random(3);
  std::vector<std::uint64_t> values{0, std::numeric_limits<std::uint64_t>::max()};
  for (int n = 0; n < 1000; ++n) values.push_back(random() >> (random() % 64));
  expect_round_trip(
      values, [](auto& e, const auto& v) { e.integers64(v); },
      [](auto& d, std::size_t n, auto& out) { d.integers64(n, out); });
}

TEST(ColumnCodec, KeepsTheBitPatternOfDecimalsFewOrMany) {
  expect_floats_survive({});
  expect_floats_survive({0.0F, -0.0F, std::nanf(""), std::numeric_limits<float>::infinity(), 1e-45F, 0.0F});
  std::mt19937 random(3);
  std::vector<float> few, many;
  for (int n = 0; n < 5000; ++n) {
    few.push_back(std::log(1.0F + static_cast<float>(random() % 300)));
    many.push_back(static_cast<float>(random()) / 7.0F);
  }
  expect_floats_survive(few);
  expect_floats_survive(many);
}

TEST(ColumnCodec, SpendsOneByteAtMostOnSmallIntegersAndLittleOnEqualOnes) {
  ColumnEncoder encoder;
  encoder.integers(std::vector<std::uint32_t>(100'000, 1));
  EXPECT_LT(encoder.take().size(), 64U);
}

/// A block of 6 impressions and 3 common rows, two fields on each side, one dense column.
Block example_block() {
  Block block;
  block.common_begin = {0, 3, 4, 6};
  block.sample = {2, {0, 1, 2, 4, 4, 5, 7, 8, 8, 9, 10, 10, 12}, {7, 0, 1, 5, 3, 2, 2, 9, 4, 6, 0, 8}, {}};
  block.common = {2, {0, 3, 3, 4, 300, 300, 301}, {}, {}};
  for (std::uint32_t i = 0; i < 301; ++i) {
    block.common.rows.push_back(i < 3 ? i : i == 300 ? 0 : i * 3);
    block.common.values.push_back(static_cast<float>(i % 9) / 4);
  }
  block.dense = {1.5F, std::nanf(""), 0, -2, 1e30F, 3};
  block.click = {1, 0, 1, 0, 0, 1};
  block.conversion = {1, 0, 0, 0, 0, 1};
  block.input_index = {5, 6, 90, 7, 0, 99};
  for (const char* id : {"105", "106", "190", "107", "100", "199"}) block.sample_id.push_back(id);
  return block;
}

BlockLayout example_layout() {
  return {{10, 10}, {1000, 1000}, 1, 100};
}

bool same(const BagColumns& a, const BagColumns& b) {
  return a.fields == b.fields && a.offsets == b.offsets && a.rows == b.rows && a.values == b.values;
}
bool same(const Block& a, const Block& b) {
  return a.common_begin == b.common_begin && same(a.sample, b.sample) && same(a.common, b.common) &&
         a.dense.size() == b.dense.size() &&
         std::memcmp(a.dense.data(), b.dense.data(), a.dense.size() * sizeof(float)) == 0 && a.click == b.click &&
         a.conversion == b.conversion && a.input_index == b.input_index && a.sample_id.chars == b.sample_id.chars &&
         a.sample_id.ends == b.sample_id.ends;
}

TEST(BlockCodec, KeepsABlockAndLeavesSampleIdsOutUnlessAsked) {
  const Block block = example_block();
  const auto bytes = BlockEncoder().encode(block);
  Block decoded;
  decode_block(bytes, shape_of(block), example_layout(), {kFile}, true, decoded);
  EXPECT_TRUE(same(decoded, block));
  decode_block(bytes, shape_of(block), example_layout(), {kFile}, false, decoded);
  EXPECT_EQ(decoded.sample_id.size(), 0U);
  EXPECT_THAT(decoded.input_index, ElementsAreArray(block.input_index));
}

TEST(BlockCodec, RefusesRowsAndIndicesBeyondTheirLimits) {
  const Block block = example_block();
  const auto bytes = BlockEncoder().encode(block);
  Block decoded;
  const auto decode = [&](const BlockLayout& layout, BlockShape shape) {
    decode_block(bytes, shape, layout, {kFile, 3, 1000}, true, decoded);
  };
  const BlockShape shape = shape_of(block);
  EXPECT_NO_THROW(decode(example_layout(), shape));
  EXPECT_THROW(decode({{9, 10}, {1000, 1000}, 1, 100}, shape), Error);   // row 9 of the first sample field
  EXPECT_THROW(decode({{10, 10}, {1000, 800}, 1, 100}, shape), Error);   // a row of the second common field
  EXPECT_THROW(decode({{10, 10}, {1000, 1000}, 1, 99}, shape), Error);   // input index 99
  EXPECT_THROW(decode({{10, 10}, {1000, 1000}, 2, 100}, shape), Error);  // a dense column too many
  EXPECT_THROW(decode({{10}, {1000, 1000}, 1, 100}, shape), Error);      // a field too few
  for (const std::uint32_t wrong : {0U, 1U, 5U, 7U, 4'000'000'000U}) {
    EXPECT_THROW(decode(example_layout(), {wrong, shape.common_rows, shape.sample_ids, shape.common_ids}), Error);
    EXPECT_THROW(decode(example_layout(), {shape.impressions, wrong, shape.sample_ids, shape.common_ids}), Error);
    EXPECT_THROW(decode(example_layout(), {shape.impressions, shape.common_rows, wrong, shape.common_ids}), Error);
    EXPECT_THROW(decode(example_layout(), {shape.impressions, shape.common_rows, shape.sample_ids, wrong}), Error);
  }
}

TEST(BlockCodec, NamesFileBlockAndOffsetOfWhatIsWrong) {
  const Block block = example_block();
  auto bytes = BlockEncoder().encode(block);
  bytes.resize(40);
  Block decoded;
  try {
    decode_block(bytes, shape_of(block), example_layout(), {kFile, 3, 1000}, true, decoded);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_THAT(error.what(), ::testing::MatchesRegex("blocks\\.bin: block 3, byte 10[0-9][0-9]: .*"));
  }
}

/// Checksums catch accidents; against a malicious file the decoder itself must hold: whatever the bytes are, it throws
/// Error or gives a block within its limits. Runs under AddressSanitizer too.
TEST(BlockCodec, StaysWithinBoundsWhateverTheBytesAre) {
  const Block block = example_block();
  const auto good = BlockEncoder().encode(block);
  const BlockShape shape = shape_of(block);
  Block decoded;
  int refused = 0;
  const auto attempt = [&](const std::vector<std::byte>& bytes) {
    try {
      decode_block(bytes, shape, example_layout(), {kFile}, true, decoded);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      ++refused;
      return;
    }
    for (const std::uint32_t row : decoded.sample.rows) EXPECT_LT(row, 10U);
    for (const std::uint32_t row : decoded.common.rows) EXPECT_LT(row, 1000U);
    for (const std::uint64_t index : decoded.input_index) EXPECT_LT(index, 100U);
    EXPECT_EQ(decoded.common_begin.back(), 6U);
    EXPECT_EQ(decoded.sample.offsets.back(), 12U);
    EXPECT_EQ(decoded.sample_id.size(), 6U);
  };
  for (std::size_t at = 0; at < good.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      auto bytes = good;
      bytes[at] ^= static_cast<std::byte>(1U << bit);
      attempt(bytes);
    }
  for (std::size_t length = 0; length < good.size(); ++length)
    attempt(std::vector<std::byte>(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length)));
  EXPECT_GT(refused, static_cast<int>(good.size()));  // every truncation, and many of the flips
  std::mt19937 random(5);
  for (int n = 0; n < 20'000; ++n) {
    auto bytes = good;
    for (int k = 0; k < 4; ++k) bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    attempt(bytes);
  }
}

}  // namespace
}  // namespace esmm
