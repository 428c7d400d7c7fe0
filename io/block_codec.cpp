#include "io/block_codec.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "kernels/error.hpp"

namespace esmm {
namespace {

enum class SampleIdCoding : std::uint8_t { decimal, text };

/// Small magnitudes of either sign become small numbers.
std::uint64_t zigzag(std::uint64_t difference) {
  return (difference << 1) ^ (0 - (difference >> 63));
}
std::uint64_t unzigzag(std::uint64_t value) {
  return (value >> 1) ^ (0 - (value & 1));
}

/// The number, if `text` is exactly how that number is written.
std::optional<std::uint64_t> canonical_decimal(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc{} && end == text.data() + text.size() && !text.empty();
  if (!whole || (text[0] == '0' && text.size() > 1)) return std::nullopt;
  return value;
}

}  // namespace

BlockShape shape_of(const Block& block) {
  return {static_cast<std::uint32_t>(block.impressions()), static_cast<std::uint32_t>(block.common_rows()),
          block.sample.rows.size(), block.common.rows.size()};
}

std::vector<std::byte> BlockEncoder::encode(const Block& block) {
  const std::size_t impressions = block.impressions();
  integers_.clear();
  for (std::size_t u = 0; u < block.common_rows(); ++u)
    integers_.push_back(block.common_begin[u + 1] - block.common_begin[u]);
  columns_.integers(integers_);
  integers_.clear();
  for (std::size_t i = 0; i < impressions; ++i) integers_.push_back(block.click[i] + 2U * block.conversion[i]);
  columns_.integers(integers_);

  // input_index: the first of each common row counts from the smallest in the block, the others from the one before.
  const auto& index = block.input_index;
  const std::uint64_t base = impressions == 0 ? 0 : *std::min_element(index.begin(), index.end());
  wide_.clear();
  for (std::size_t u = 0; u < block.common_rows(); ++u)
    for (std::uint32_t i = block.common_begin[u]; i < block.common_begin[u + 1]; ++i)
      wide_.push_back(index[i] - (i == block.common_begin[u] ? base : index[i - 1]));
  columns_.number(base);
  columns_.integers64(wide_);

  bags(block.sample);
  bags(block.common);
  const std::size_t dense = impressions == 0 ? 0 : block.dense.size() / impressions;
  for (std::size_t e = 0; e < dense; ++e) {
    floats_.clear();
    for (std::size_t i = 0; i < impressions; ++i) floats_.push_back(block.dense[i * dense + e]);
    columns_.floats(floats_);
  }
  sample_ids(block);
  return columns_.take();
}

void BlockEncoder::bags(const BagColumns& bags) {
  const std::size_t rows = bags.fields == 0 ? 0 : (bags.offsets.size() - 1) / bags.fields;
  for (std::size_t f = 0; f < bags.fields; ++f) {
    integers_.clear();
    for (std::size_t r = 0; r < rows; ++r) {
      const std::uint32_t* offset = &bags.offsets[r * bags.fields + f];
      integers_.push_back(offset[1] - offset[0]);
    }
    columns_.integers(integers_);
  }
  for (std::size_t f = 0; f < bags.fields; ++f) {
    integers_.clear();
    floats_.clear();
    bool all_one = true;
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint32_t previous = 0;
      for (std::uint32_t i = bags.offsets[r * bags.fields + f]; i < bags.offsets[r * bags.fields + f + 1]; ++i) {
        integers_.push_back(bags.rows[i] - previous);
        previous = bags.rows[i];
        floats_.push_back(bags.values.empty() ? 1.0F : bags.values[i]);
        all_one = all_one && floats_.back() == 1.0F;
      }
    }
    columns_.integers(integers_);
    columns_.number(static_cast<std::uint8_t>(all_one ? 0 : 1));
    if (!all_one) columns_.floats(floats_);
  }
}

void BlockEncoder::sample_ids(const Block& block) {
  // Ids that are numbers usually run with the input: what remains of them after the index is small.
  wide_.clear();
  std::uint64_t previous = 0;
  for (std::size_t i = 0; i < block.impressions(); ++i) {
    const auto value = canonical_decimal(block.sample_id[i]);
    if (!value) break;
    wide_.push_back(zigzag(*value - block.input_index[i] - previous));
    previous = *value - block.input_index[i];
  }
  if (wide_.size() == block.impressions()) {
    columns_.number(SampleIdCoding::decimal);
    columns_.integers64(wide_);
    return;
  }
  columns_.number(SampleIdCoding::text);
  integers_.clear();
  for (std::size_t i = 0; i < block.impressions(); ++i)
    integers_.push_back(static_cast<std::uint32_t>(block.sample_id[i].size()));
  columns_.integers(integers_);
  columns_.bytes(std::as_bytes(std::span(block.sample_id.chars)));
}

namespace {

class BlockDecoder {
 public:
  BlockDecoder(std::span<const std::byte> bytes, const BlockPlace& place) : columns_(bytes, place) {}

  void decode(const BlockShape& shape, const BlockLayout& layout, bool with_sample_ids, Block& out) {
    common_begin(shape, out);
    labels(shape.impressions, out);
    input_index(shape.impressions, layout.impressions, out);
    bags(shape.impressions, shape.sample_ids, layout.sample_table_rows, out.sample);
    bags(shape.common_rows, shape.common_ids, layout.common_table_rows, out.common);
    dense(shape.impressions, layout.dense, out.dense);
    out.sample_id.clear();
    if (!with_sample_ids) return;
    sample_ids(shape.impressions, out);
    if (columns_.remaining() != 0) columns_.fail(fmt::format("{} bytes too many", columns_.remaining()));
  }

 private:
  void common_begin(const BlockShape& shape, Block& out) {
    columns_.integers(shape.common_rows, integers_);
    out.common_begin.resize(shape.common_rows + std::size_t{1});
    std::uint64_t total = 0;
    out.common_begin[0] = 0;
    for (std::size_t u = 0; u < shape.common_rows; ++u) {
      total += integers_[u];
      out.common_begin[u + 1] = static_cast<std::uint32_t>(total);
      if (integers_[u] == 0) columns_.fail("a common row without impressions");
    }
    if (total != shape.impressions)
      columns_.fail(fmt::format("the common rows have {} impressions, the block has {}", total, shape.impressions));
  }

  void labels(std::size_t impressions, Block& out) {
    columns_.integers(impressions, integers_);
    out.click.resize(impressions);
    out.conversion.resize(impressions);
    std::uint32_t all = 0;
    for (std::size_t i = 0; i < impressions; ++i) {
      all |= integers_[i];
      out.click[i] = integers_[i] & 1;
      out.conversion[i] = (integers_[i] >> 1) & 1;
    }
    if (all > 3) columns_.fail("a label is neither 0 nor 1");
  }

  void input_index(std::size_t impressions, std::uint64_t limit, Block& out) {
    const auto base = columns_.number<std::uint64_t>();
    columns_.integers64(impressions, out.input_index);
    std::uint64_t largest = 0;
    for (std::size_t u = 0; u + 1 < out.common_begin.size(); ++u) {
      std::uint64_t value = base;
      for (std::uint32_t i = out.common_begin[u]; i < out.common_begin[u + 1]; ++i) {
        value += out.input_index[i];
        out.input_index[i] = value;
        largest = std::max(largest, value);
      }
    }
    if (impressions > 0 && largest >= limit)
      columns_.fail(fmt::format("input index {} of {} impressions", largest, limit));
  }

  void bags(std::size_t rows, std::uint64_t ids, const std::vector<std::uint32_t>& table_rows, BagColumns& out) {
    const std::size_t fields = table_rows.size();
    if (rows * fields > columns_.remaining() * ColumnDecoder::kMostPerByte)
      columns_.fail(fmt::format("{} bags cannot be in {} bytes", rows * fields, columns_.remaining()));
    out.fields = static_cast<std::uint32_t>(fields);
    out.values.clear();
    if (ids > std::numeric_limits<std::uint32_t>::max() || ids > columns_.remaining() * ColumnDecoder::kMostPerByte)
      columns_.fail(fmt::format("{} ids cannot be in {} bytes", ids, columns_.remaining()));
    offsets(rows, fields, ids, out);
    out.rows.resize(ids);
    for (std::size_t f = 0; f < fields; ++f) {
      columns_.integers(field_ids_[f], integers_);
      bag_rows(rows, f, table_rows[f], out);
      const auto coding = columns_.number<std::uint8_t>();
      if (coding > 1) columns_.fail("unknown coding of values");
      if (coding == 0) continue;
      columns_.floats(field_ids_[f], floats_);
      if (out.values.empty()) out.values.assign(ids, 1.0F);
      const float* value = floats_.data();
      for (std::size_t r = 0; r < rows; ++r) {
        const std::uint32_t* offset = &out.offsets[r * fields + f];
        for (std::uint32_t i = offset[0]; i < offset[1]; ++i) out.values[i] = *value++;
      }
    }
  }

  void offsets(std::size_t rows, std::size_t fields, std::uint64_t ids, BagColumns& out) {
    out.offsets.resize(rows * fields + 1);
    out.offsets[0] = 0;
    field_ids_.assign(fields, 0);
    std::uint64_t total = 0;
    for (std::size_t f = 0; f < fields; ++f) {
      columns_.integers(rows, integers_);
      for (std::size_t r = 0; r < rows; ++r) {
        out.offsets[r * fields + f + 1] = integers_[r];
        field_ids_[f] += integers_[r];
      }
      total += field_ids_[f];
      if (total > ids) break;  // before it can wrap
    }
    if (total != ids) columns_.fail(fmt::format("the bags hold {} ids, the block has {}", total, ids));
    std::uint32_t end = 0;
    for (std::uint32_t& offset : out.offsets) offset = end += offset;
  }

  void bag_rows(std::size_t rows, std::size_t field, std::uint32_t table_rows, BagColumns& out) {
    const std::uint32_t* difference = integers_.data();
    std::uint64_t largest = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      const std::uint32_t* offset = &out.offsets[r * out.fields + field];
      std::uint64_t row = 0;
      for (std::uint32_t i = offset[0]; i < offset[1]; ++i) {
        row += *difference++;
        out.rows[i] = static_cast<std::uint32_t>(row);
      }
      largest = std::max(largest, row);
    }
    if (largest >= table_rows)
      columns_.fail(fmt::format("row {} of field {} in a table of {} rows", largest, field, table_rows));
  }

  void dense(std::size_t impressions, std::size_t columns, std::vector<float>& out) {
    if (impressions * columns > columns_.remaining() * ColumnDecoder::kMostPerByte)
      columns_.fail(fmt::format("{} decimals cannot be in {} bytes", impressions * columns, columns_.remaining()));
    out.resize(impressions * columns);
    for (std::size_t e = 0; e < columns; ++e) {
      columns_.floats(impressions, floats_);
      for (std::size_t i = 0; i < impressions; ++i) out[i * columns + e] = floats_[i];
    }
  }

  void sample_ids(std::size_t impressions, Block& out) {
    const auto coding = columns_.number<SampleIdCoding>();
    if (coding == SampleIdCoding::decimal) {
      columns_.integers64(impressions, wide_);
      std::uint64_t value = 0;
      for (std::size_t i = 0; i < impressions; ++i) {
        value += unzigzag(wide_[i]);
        char text[std::numeric_limits<std::uint64_t>::digits10 + 2];
        const auto end = std::to_chars(text, std::end(text), value + out.input_index[i]).ptr;
        out.sample_id.push_back({text, static_cast<std::size_t>(end - text)});
      }
      return;
    }
    if (coding != SampleIdCoding::text) columns_.fail("unknown coding of sample ids");
    columns_.integers(impressions, integers_);
    std::uint64_t end = 0;
    for (const std::uint32_t length : integers_) out.sample_id.ends.push_back(end += length);
    columns_.bytes(end, out.sample_id.chars);
    if (out.sample_id.chars.size() != end) columns_.fail("sample ids do not match their lengths");
  }

  ColumnDecoder columns_;
  std::vector<std::uint32_t> integers_;
  std::vector<std::uint64_t> wide_, field_ids_;
  std::vector<float> floats_;
};

}  // namespace

void decode_block(std::span<const std::byte> bytes, const BlockShape& shape, const BlockLayout& layout,
                  const BlockPlace& place, bool with_sample_ids, Block& out) {
  BlockDecoder(bytes, place).decode(shape, layout, with_sample_ids, out);
}

}  // namespace esmm
