#include "io/manifest.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include "io/column_codec.hpp"
#include "io/sealed_json.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

using nlohmann::json;
constexpr int kVersion = 1;

json optional_text(const std::optional<std::string>& text) {
  return text ? json(*text) : json(nullptr);
}
std::optional<std::string> optional_text(const json& value) {
  return value.is_null() ? std::nullopt : std::optional(value.get<std::string>());
}
/// JSON has no NaN (the mean of no values): null.
double number_or_nan(const json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

json to_json(const Schema& schema) {
  json fields = json::array();
  for (const Field& field : schema.fields)
    fields.push_back(
        {{"name", field.name}, {"side", field.side == Side::sample ? "sample" : "common"}, {"table", field.table}});
  return {{"fields", std::move(fields)},
          {"dense", schema.dense},
          {"click", schema.click},
          {"conversion", schema.conversion},
          {"sample_id", optional_text(schema.sample_id)},
          {"common_key", optional_text(schema.common_key)},
          {"ignore", schema.ignore}};
}

Schema schema_from_json(const json& value) {
  Schema schema;
  for (const json& field : value.at("fields")) {
    const Side side = field.at("side") == "sample" ? Side::sample : Side::common;
    schema.fields.push_back({field.at("name").get<std::string>(), side, field.at("table").get<std::string>()});
  }
  schema.dense = value.at("dense").get<std::vector<std::string>>();
  schema.click = value.at("click").get<std::string>();
  schema.conversion = value.at("conversion").get<std::string>();
  schema.sample_id = optional_text(value.at("sample_id"));
  schema.common_key = optional_text(value.at("common_key"));
  schema.ignore = value.at("ignore").get<std::vector<std::string>>();
  return schema;
}

json to_json(const DatasetStatistics& s, const Schema& schema) {
  json fields = json::array();
  for (std::size_t f = 0; f < s.fields.size(); ++f)
    fields.push_back({{"name", schema.fields[f].name},
                      {"ids", s.fields[f].ids},
                      {"impression_ids", s.fields[f].impression_ids},
                      {"missing_rows", s.fields[f].missing_rows},
                      {"out_of_vocabulary", s.fields[f].out_of_vocabulary},
                      {"most_ids", s.fields[f].most_ids},
                      {"value_min", s.fields[f].value_min},
                      {"value_max", s.fields[f].value_max}});
  json dense = json::array();
  for (std::size_t e = 0; e < s.dense.size(); ++e)
    dense.push_back({{"name", schema.dense[e]},
                     {"mean", s.dense[e].mean},
                     {"std", s.dense[e].std},
                     {"min", s.dense[e].min},
                     {"max", s.dense[e].max},
                     {"missing", s.dense[e].missing}});
  json bad_rows = json::object();
  for (std::size_t kind = 0; kind < s.bad_rows.size(); ++kind)
    bad_rows[std::string(name(static_cast<BadRowKind>(kind)))] = s.bad_rows[kind];
  return {{"impressions", s.impressions},
          {"clicks", s.clicks},
          {"conversions", s.conversions},
          {"common_rows", s.common_rows},
          {"unused_common_rows", s.unused_common_rows},
          {"contradictions", s.contradictions},
          {"contradictions_dropped", s.contradictions_dropped},
          {"bad_rows", std::move(bad_rows)},
          {"text_bytes", s.text_bytes},
          {"packed_bytes", s.packed_bytes},
          {"fields", std::move(fields)},
          {"dense", std::move(dense)}};
}

DatasetStatistics statistics_from_json(const json& value) {
  DatasetStatistics s;
  const auto read = [&](const char* key, std::uint64_t& out) { out = value.at(key).get<std::uint64_t>(); };
  read("impressions", s.impressions);
  read("clicks", s.clicks);
  read("conversions", s.conversions);
  read("common_rows", s.common_rows);
  read("unused_common_rows", s.unused_common_rows);
  read("contradictions", s.contradictions);
  read("contradictions_dropped", s.contradictions_dropped);
  read("text_bytes", s.text_bytes);
  read("packed_bytes", s.packed_bytes);
  for (std::size_t kind = 0; kind < static_cast<std::size_t>(BadRowKind::count_); ++kind)
    s.bad_rows.push_back(
        value.at("bad_rows").at(std::string(name(static_cast<BadRowKind>(kind)))).get<std::uint64_t>());
  for (const json& field : value.at("fields"))
    s.fields.push_back({field.at("ids").get<std::uint64_t>(), field.at("impression_ids").get<std::uint64_t>(),
                        field.at("missing_rows").get<std::uint64_t>(),
                        field.at("out_of_vocabulary").get<std::uint64_t>(), field.at("most_ids").get<std::uint32_t>(),
                        static_cast<float>(number_or_nan(field.at("value_min"))),
                        static_cast<float>(number_or_nan(field.at("value_max")))});
  for (const json& dense : value.at("dense"))
    s.dense.push_back({number_or_nan(dense.at("mean")), number_or_nan(dense.at("std")), number_or_nan(dense.at("min")),
                       number_or_nan(dense.at("max")), dense.at("missing").get<std::uint64_t>()});
  return s;
}

json to_json(const std::vector<Manifest::BlockEntry>& blocks) {
  json all = json::array();
  for (const auto& b : blocks)
    all.push_back({b.offset, b.bytes, hex64(b.checksum), b.shape.impressions, b.shape.common_rows, b.shape.sample_ids,
                   b.shape.common_ids});
  return all;
}

std::vector<Manifest::BlockEntry> blocks_from_json(const json& value) {
  std::vector<Manifest::BlockEntry> blocks;
  for (const json& b : value) {
    Manifest::BlockEntry& entry = blocks.emplace_back();
    entry.offset = b.at(0).get<std::uint64_t>();
    entry.bytes = b.at(1).get<std::uint64_t>();
    const auto checksum = b.at(2).get<std::string>();
    std::from_chars(checksum.data(), checksum.data() + checksum.size(), entry.checksum, 16);
    entry.shape = {b.at(3).get<std::uint32_t>(), b.at(4).get<std::uint32_t>(), b.at(5).get<std::uint64_t>(),
                   b.at(6).get<std::uint64_t>()};
  }
  return blocks;
}

/// Contradictions that a correct writer cannot have made; `file` for the message.
void check(const Manifest& manifest, std::uint64_t blocks_bytes, const std::string& file) {
  const auto require = [&](bool holds, const std::string& what) {
    if (!holds) throw data_error("{}: {}. The dataset is damaged: pack the log again.", file, what);
  };
  require(manifest.statistics.fields.size() == manifest.schema.fields.size(), "statistics of another number of fields");
  require(manifest.statistics.dense.size() == manifest.schema.dense.size(), "statistics of other dense columns");
  const bool side_order = std::is_sorted(manifest.schema.fields.begin(), manifest.schema.fields.end(),
                                         [](const Field& a, const Field& b) { return a.side < b.side; });
  require(side_order, "a sample field after a common field");
  for (const Field& field : manifest.schema.fields)
    require(std::any_of(manifest.tables.begin(), manifest.tables.end(),
                        [&](const auto& table) { return table.name == field.table; }),
            fmt::format("field {} uses table {}, which is missing", field.name, field.table));

  std::uint64_t end = kBlocksMagic.size(), impressions = 0, common_rows = 0;
  for (std::size_t b = 0; b < manifest.blocks.size(); ++b) {
    const Manifest::BlockEntry& block = manifest.blocks[b];
    require(block.offset == end && block.bytes <= blocks_bytes - end,
            fmt::format("block {} of {} bytes at byte {}, but blocks.bin has {} bytes", b, block.bytes, block.offset,
                        blocks_bytes));
    end += block.bytes;
    const std::uint64_t most = block.bytes * ColumnDecoder::kMostPerByte;
    require(block.shape.impressions > 0 && block.shape.impressions <= most && block.shape.common_rows > 0 &&
                block.shape.common_rows <= block.shape.impressions && block.shape.sample_ids <= most &&
                block.shape.common_ids <= most,
            fmt::format("block {} cannot hold {} impressions in {} bytes", b, block.shape.impressions, block.bytes));
    impressions += block.shape.impressions;
    common_rows += block.shape.common_rows;
  }
  require(end == blocks_bytes, fmt::format("blocks.bin has {} bytes, the blocks end at {}", blocks_bytes, end));
  require(impressions == manifest.statistics.impressions && common_rows == manifest.statistics.common_rows,
          "the blocks do not add up to the dataset's impressions");
}

}  // namespace

void save_manifest(const std::string& directory, const Manifest& manifest) {
  json tables = json::array();
  for (const auto& table : manifest.tables) tables.push_back({{"name", table.name}, {"rows", table.rows}});
  write_sealed_json(directory + "/manifest.json",
                    {{"format", "esmm packed dataset"},
                     {"version", kVersion},
                     {"schema", to_json(manifest.schema)},
                     {"labelled", manifest.labelled},
                     {"statistics", to_json(manifest.statistics, manifest.schema)},
                     {"vocabulary", {{"hash", manifest.vocabulary_hash}, {"tables", std::move(tables)}}},
                     {"blocks", to_json(manifest.blocks)}});
}

Manifest load_manifest(const std::string& directory, std::uint64_t blocks_bytes) {
  const std::string path = directory + "/manifest.json";
  return read_sealed_json(path, [&](const json& value) {
    if (value.at("format") != "esmm packed dataset" || value.at("version") != kVersion)
      throw data_error("{}: not a packed dataset of version {}. Pack the log again with this program.", path, kVersion);
    Manifest manifest;
    manifest.schema = schema_from_json(value.at("schema"));
    manifest.labelled = value.at("labelled").get<bool>();
    manifest.statistics = statistics_from_json(value.at("statistics"));
    manifest.vocabulary_hash = value.at("vocabulary").at("hash").get<std::string>();
    for (const json& table : value.at("vocabulary").at("tables"))
      manifest.tables.push_back({table.at("name").get<std::string>(), table.at("rows").get<std::uint32_t>()});
    manifest.blocks = blocks_from_json(value.at("blocks"));
    check(manifest, blocks_bytes, path);
    return manifest;
  });
}

}  // namespace esmm
