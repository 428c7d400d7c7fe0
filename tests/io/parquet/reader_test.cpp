#include <cmath>
#include <random>

#include "io/parquet.hpp"
#include "tests/io/log_files.hpp"
#include "tests/io/parquet/tables.hpp"

namespace esmm {
namespace {

using test::common_rows;
using test::digest;
using test::error_of;
using test::features_of;
using test::impressions;
using test::JsonColumn;
using test::options;
using test::TemporaryDirectory;
using test::write_table;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> names(const std::vector<Field>& fields) {
  std::vector<std::string> result;
  for (const Field& field : fields) result.push_back(field.name);
  return result;
}

const JsonColumn kClick{"click", arrow::int8(), "[1, 0, 0]"};
const JsonColumn kConversion{"conversion", arrow::int8(), "[1, 0, 0]"};

/// The rows of a log of three impressions with one column beside the labels.
std::unique_ptr<LogReader> open_with(const TemporaryDirectory& directory, const JsonColumn& column,
                                     const Schema* schema = nullptr) {
  ReaderOptions chosen = options();
  chosen.schema = schema;
  return open_log(write_table(directory / "log.parquet", {kClick, kConversion, column}), chosen);
}

TEST(ParquetReader, GuessesTheSchemaFromNamesAndTypes) {
  const TemporaryDirectory directory;
  const std::string path = write_table(directory / "log.parquet", {{"item", arrow::int64(), "[17, 4294967296, null]"},
                                                                   {"buy", arrow::boolean(), "[false, true, false]"},
                                                                   {"price", arrow::float64(), "[1.5, 2, null]"},
                                                                   {"Click", arrow::float32(), "[1, 1, 0]"},
                                                                   {"colour", arrow::utf8(), R"(["red", "", null])"},
                                                                   {"Sample_ID", arrow::utf8(), R"(["a", "b", "c"])"},
                                                                   {"num_views", arrow::int32(), "[3, 4, 5]"},
                                                                   {"digits", arrow::utf8(), R"(["0.5", "7", "07"])"},
                                                                   {"__index_level_0__", arrow::int64(), "[0, 1, 2]"}});
  const auto log = open_log(path, options());
  EXPECT_EQ(log->schema().click, "Click");
  EXPECT_EQ(log->schema().conversion, "buy");
  EXPECT_EQ(log->schema().sample_id, "Sample_ID");
  EXPECT_THAT(names(log->schema().fields), ElementsAre("item", "colour", "digits"));
  EXPECT_THAT(log->schema().dense, ElementsAre("price", "num_views"));
  EXPECT_TRUE(log->labelled());
  EXPECT_THAT(log->files(), ElementsAre(path));

  const ImpressionRows rows = impressions(*log);
  ASSERT_TRUE(rows.bad.empty()) << rows.bad.front().message;
  EXPECT_THAT(rows.line, ElementsAre(1, 2, 3));
  EXPECT_THAT(rows.click, ElementsAre(1, 1, 0));
  EXPECT_THAT(rows.conversion, ElementsAre(0, 1, 0));
  EXPECT_EQ(rows.sample_id[2], "c");
  EXPECT_THAT(rows.dense, ElementsAre(1.5F, 3.0F, 2.0F, 4.0F, ::testing::IsNan(), 5.0F));
  const std::vector<Field>& fields = log->schema().fields;
  EXPECT_EQ(features_of(rows.features, 0, fields),
            fmt::format("item:17:1 colour:{}:1 digits:{}:1", feature_id("red"), feature_id("0.5")));
  EXPECT_EQ(features_of(rows.features, 1, fields), "item:4294967296:1 digits:7:1");
  EXPECT_EQ(features_of(rows.features, 2, fields), fmt::format("digits:{}:1", feature_id("07")));
  EXPECT_EQ(rows.text_bytes, std::filesystem::file_size(path));
}

struct IdColumn {
  std::shared_ptr<arrow::DataType> type;
  const char* values;
  std::vector<std::vector<std::uint64_t>> ids;  // per row
};

void PrintTo(const IdColumn& column, std::ostream* out) {
  *out << column.type->ToString();
}

class ParquetIds : public ::testing::TestWithParam<IdColumn> {};

TEST_P(ParquetIds, AreThoseOfTheTextInACsvFile) {
  const TemporaryDirectory directory;
  const Schema schema = schema_from_toml("sample = [\"x\"]", "schema.toml");
  const ImpressionRows rows = impressions(*open_with(directory, {"x", GetParam().type, GetParam().values}, &schema));
  ASSERT_TRUE(rows.bad.empty()) << rows.bad.front().message;
  std::vector<std::vector<std::uint64_t>> found(3);
  for (std::size_t row = 0, i = 0; row < 3; ++row) {
    for (; i < rows.features.row_end[row]; ++i) found[row].push_back(rows.features.id[i]);
  }
  EXPECT_EQ(found, GetParam().ids) << GetParam().type->ToString();
}

using arrow::field;
INSTANTIATE_TEST_SUITE_P(
    Types, ParquetIds,
    ::testing::Values(
        IdColumn{arrow::int8(), "[1, -1, null]", {{1}, {feature_id("-1")}, {}}},
        IdColumn{arrow::int16(), "[1, 300, null]", {{1}, {300}, {}}},
        IdColumn{arrow::uint8(), "[255, 0, null]", {{255}, {0}, {}}},
        IdColumn{arrow::uint16(), "[65535, 0, null]", {{65535}, {0}, {}}},
        IdColumn{arrow::uint32(), "[4294967295, 0, null]", {{4294967295}, {0}, {}}},
        IdColumn{arrow::int64(), "[9223372036854775807, 0, null]", {{9223372036854775807U}, {0}, {}}},
        IdColumn{arrow::uint64(), "[9223372036854775808, 7, null]", {{feature_id("9223372036854775808")}, {7}, {}}},
        IdColumn{arrow::boolean(), "[true, false, null]", {{1}, {0}, {}}},
        IdColumn{arrow::float32(), "[17, 2.5, null]", {{17}, {feature_id("2.5")}, {}}},
        IdColumn{arrow::float64(), "[9007199254740992, -3, NaN]", {{9007199254740992U}, {feature_id("-3")}, {}}},
        IdColumn{arrow::utf8(), R"(["17", "shoe", ""])", {{17}, {feature_id("shoe")}, {}}},
        IdColumn{arrow::large_utf8(), R"(["17", "shoe", null])", {{17}, {feature_id("shoe")}, {}}},
        IdColumn{arrow::utf8_view(), R"(["17", "shoe", null])", {{17}, {feature_id("shoe")}, {}}},
        IdColumn{arrow::binary(), R"(["17", "shoe", null])", {{17}, {feature_id("shoe")}, {}}},
        IdColumn{
            arrow::decimal128(9, 2), R"(["1.50", "2.00", null])", {{feature_id("1.50")}, {feature_id("2.00")}, {}}},
        IdColumn{arrow::dictionary(arrow::int8(), arrow::utf8()),
                 R"(["17", "shoe", null])",
                 {{17}, {feature_id("shoe")}, {}}},
        IdColumn{arrow::null(), "[null, null, null]", {{}, {}, {}}},
        IdColumn{arrow::list(arrow::int64()), "[[3, null, 4], [], null]", {{3, 4}, {}, {}}},
        IdColumn{arrow::list(arrow::utf8()), R"([["3", ""], ["shoe"], null])", {{3}, {feature_id("shoe")}, {}}},
        IdColumn{arrow::large_list(arrow::int32()), "[[3], null, [4, 4]]", {{3}, {}, {4, 4}}},
        IdColumn{arrow::fixed_size_list(arrow::int32(), 2), "[[3, 5], null, [4, 4]]", {{3, 5}, {}, {4, 4}}},
        IdColumn{arrow::map(arrow::int64(), arrow::float32()), "[[[3, 0.5], [5, 2]], [], null]", {{3, 5}, {}, {}}}));

TEST(ParquetReader, TakesTheValuesOfAMapAsValuesOfItsIds) {
  const TemporaryDirectory directory;
  const auto log =
      open_with(directory, {"x", arrow::map(arrow::utf8(), arrow::float64()), R"([[["7", 0.5], ["a", 2]], [], null])"});
  EXPECT_EQ(features_of(impressions(*log).features, 0, log->schema().fields),
            fmt::format("x:7:0.5 x:{}:2", feature_id("a")));
}

TEST(ParquetReader, ConvertsDenseColumnsOfEveryTypeOfNumber) {
  const TemporaryDirectory directory;
  const Schema schema = schema_from_toml("dense = [\"x\"]", "schema.toml");
  const auto dense = [&](const std::shared_ptr<arrow::DataType>& type, const char* values) {
    const ImpressionRows rows = impressions(*open_with(directory, {"x", type, values}, &schema));
    EXPECT_TRUE(rows.bad.empty()) << rows.bad.front().message;
    return rows.dense;
  };
  EXPECT_THAT(dense(arrow::float64(), "[0.1, 1e-60, NaN]"), ElementsAre(0.1F, 0.0F, ::testing::IsNan()));
  EXPECT_THAT(dense(arrow::float32(), "[0.1, -2.5, null]"), ElementsAre(0.1F, -2.5F, ::testing::IsNan()));
  EXPECT_THAT(dense(arrow::int64(), "[16777217, -1, null]"), ElementsAre(16777216.0F, -1.0F, ::testing::IsNan()));
  EXPECT_THAT(dense(arrow::decimal128(9, 2), R"(["1.50", "-0.25", null])"),
              ElementsAre(1.5F, -0.25F, ::testing::IsNan()));
  EXPECT_THAT(dense(arrow::utf8(), R"(["1.5", "1e3", ""])"), ElementsAre(1.5F, 1000.0F, ::testing::IsNan()));
}

struct BadColumn {
  JsonColumn column;
  const char* schema;
  BadRowKind kind;
  const char* message;  // behind "log.parquet:2: row group 1: "
};

void PrintTo(const BadColumn& bad, std::ostream* out) {
  *out << bad.column.name << " " << bad.column.type->ToString() << " " << name(bad.kind);
}

class BadParquetRows : public ::testing::TestWithParam<BadColumn> {};

TEST_P(BadParquetRows, AreListedAndLeaveTheirNeighboursAlone) {
  const TemporaryDirectory directory;
  const Schema schema = schema_from_toml(GetParam().schema, "schema.toml");
  ReaderOptions chosen = options();
  chosen.schema = &schema;
  std::vector<JsonColumn> columns{kClick, kConversion, {"item", arrow::int64(), "[7, 8, 9]"}};
  const auto same = std::find_if(columns.begin(), columns.end(),
                                 [](const JsonColumn& column) { return column.name == GetParam().column.name; });
  (same == columns.end() ? columns.emplace_back() : *same) = GetParam().column;
  const std::string path = write_table(directory / "log.parquet", columns, 1);
  const auto log = open_log(path, chosen);
  const ImpressionRows rows = impressions(*log);
  ASSERT_EQ(rows.bad.size(), 1U);
  EXPECT_EQ(rows.bad[0].kind, GetParam().kind);
  EXPECT_THAT(rows.bad[0].message, HasSubstr(path + ":2: row group 1: " + GetParam().message));
  EXPECT_TRUE(rows.bad[0].message.ends_with("or pass --on-bad-row skip.")) << rows.bad[0].message;
  EXPECT_THAT(rows.line, ElementsAre(1, 3));
  EXPECT_EQ(rows.sample_id[1], "3");
  EXPECT_EQ(rows.click.size(), 2U);
  EXPECT_EQ(rows.features.row_end.size(), 2U);
}

constexpr const char* kItemX = "sample = [\"item\", \"x\"]";
constexpr const char* kDenseX = "sample = [\"item\"]\ndense = [\"x\"]";
INSTANTIATE_TEST_SUITE_P(
    Each, BadParquetRows,
    ::testing::Values(
        BadColumn{{"click", arrow::int32(), "[1, 7, 0]"},
                  "sample = [\"item\"]",
                  BadRowKind::label,
                  "click is neither 0 nor 1: \"7\". Fix the row, or"},
        BadColumn{{"click", arrow::int32(), "[1, null, 0]"},
                  "sample = [\"item\"]",
                  BadRowKind::label,
                  "click is neither 0 nor 1: \"\". Fix the row, or"},
        BadColumn{{"click", arrow::float64(), "[1, 0.5, 0]"},
                  "sample = [\"item\"]",
                  BadRowKind::label,
                  "click is neither 0 nor 1: \"0.5\". Fix"},
        BadColumn{{"x", arrow::float64(), "[1, 1e60, 0]"},
                  kDenseX,
                  BadRowKind::range,
                  "column \"x\" is outside the range of a float: \"1e+60\". Fix"},
        BadColumn{{"x", arrow::float64(), "[1, Inf, 0]"},
                  kDenseX,
                  BadRowKind::number,
                  "column \"x\" is not a decimal number (leave it empty if missing): \"inf\". Fix"},
        BadColumn{{"x", arrow::utf8(), R"(["1", "cheap", ""])"},
                  kDenseX,
                  BadRowKind::number,
                  "column \"x\" is not a decimal number (leave it empty if missing): \"cheap\". Fix"},
        BadColumn{{"x", arrow::float64(), "[1, 1e17, 0]"},
                  kItemX,
                  BadRowKind::range,
                  "column \"x\" holds a floating-point number too large to be an exact id: \"1e+17\". Fix"},
        BadColumn{{"x", arrow::float32(), "[1, 16777220, 0]"},
                  kItemX,
                  BadRowKind::range,
                  "column \"x\" holds a floating-point number too large to be an exact id: \"16777220\". Fix"},
        BadColumn{{"x", arrow::map(arrow::int64(), arrow::float64()), "[[[1, 1]], [[1, 1], [2, 1e60]], []]"},
                  kItemX,
                  BadRowKind::number,
                  "column \"x\" has an id whose value is not a number in the range of a float: \"2\". Fix"},
        BadColumn{{"user", arrow::utf8(), R"(["a", null, "b"])"},
                  "common_key = \"user\"\nsample = [\"item\"]",
                  BadRowKind::unknown_common,
                  "column \"user\" (the common key) is empty: \"\". Fix"}));

TEST(ParquetReader, RefusesColumnsWhoseTypeDoesNotFitTheirRole) {
  const TemporaryDirectory directory;
  const auto error = [&](const std::shared_ptr<arrow::DataType>& type, const char* values, const char* toml = "") {
    const Schema schema = *toml == '\0' ? Schema{} : schema_from_toml(toml, "schema.toml");
    return error_of([&] {
      static_cast<void>(open_with(directory, {"x", type, values}, *toml == '\0' ? nullptr : &schema));
    });
  };
  EXPECT_THAT(error(arrow::timestamp(arrow::TimeUnit::MICRO), "[1, 2, 3]"),
              HasSubstr("log.parquet: column \"x\" has the type timestamp[us], which is neither numbers nor text nor a "
                        "list of them. Write it as one of these, or leave it out of a --schema FILE.toml."));
  EXPECT_THAT(error(arrow::struct_({field("a", arrow::int8())}), "[[1], [2], [3]]"), HasSubstr("has the type struct<"));
  EXPECT_THAT(error(arrow::list(arrow::list(arrow::int8())), "[[[1]], [], []]"), HasSubstr("has the type list<"));
  EXPECT_THAT(error(arrow::list(arrow::float64()), "[[0.5], [], []]"),
              HasSubstr("which cannot be dense. Name it under sample or common"));
  EXPECT_THAT(error(arrow::list(arrow::int8()), "[[1], [], []]", "sample = [\"click\", \"x\"]\nsample_id = \"x\""),
              HasSubstr("label column among the features"));
  EXPECT_THAT(error(arrow::list(arrow::int8()), "[[1], [], []]", "sample = [\"x\"]\ncommon_key = \"x\""),
              HasSubstr("which cannot be the common key."));
  EXPECT_THAT(error(arrow::int8(), "[1, 2, 3]", "sample = [\"y\"]"),
              HasSubstr("log.parquet: the header lacks the column \"y\" that the schema names as sample."));
}

TEST(ParquetReader, IgnoresUnusedColumnsOfAnyType) {
  const TemporaryDirectory directory;
  const Schema schema = schema_from_toml("sample = [\"item\"]", "schema.toml");
  ReaderOptions chosen = options();
  chosen.schema = &schema;
  const auto log =
      open_log(write_table(directory / "log.parquet",
                           {{"at", arrow::struct_({field("a", arrow::list(arrow::int8())), field("b", arrow::int8())}),
                             "[[[1], 2], [[], 3], null]"},
                            kConversion,
                            {"item", arrow::list(arrow::int32()), "[[5], [6, 7], []]"},
                            kClick}),
               chosen);
  const ImpressionRows rows = impressions(*log);
  EXPECT_THAT(rows.features.id, ElementsAre(5, 6, 7));
  EXPECT_THAT(rows.click, ElementsAre(1, 0, 0));
}

TEST(ParquetReader, SharesTheCommonFieldsOfRowsWithEqualKeys) {
  const TemporaryDirectory directory;
  const Schema schema =
      schema_from_toml("common_key = \"user\"\nsample = [\"item\"]\ncommon = [\"user\", \"cities\"]", "schema.toml");
  ReaderOptions chosen = options();
  chosen.schema = &schema;
  const auto log =
      open_log(write_table(directory / "log.parquet", {kClick,
                                                       kConversion,
                                                       {"user", arrow::int64(), "[12, 15, 12]"},
                                                       {"item", arrow::int32(), "[1, 2, 3]"},
                                                       {"cities", arrow::list(arrow::int32()), "[[8, 9], [], [10]]"}}),
               chosen);
  const CommonRows common = common_rows(*log);
  EXPECT_THAT(common.key, ElementsAre(common_key("12"), common_key("15")));
  EXPECT_EQ(features_of(common.features, 0, schema.side(Side::common)), "user:12:1 cities:8:1 cities:9:1");
  EXPECT_THAT(impressions(*log).common, ElementsAre(common_key("12"), common_key("15"), common_key("12")));
}

TEST(ParquetReader, NeedsNoLabelsForPrediction) {
  const TemporaryDirectory directory;
  ReaderOptions predicting = options();
  predicting.labels_required = false;
  const JsonColumn item{"item", arrow::int64(), "[4, 5, 6]"};
  const JsonColumn nulls{"click", arrow::int8(), "[null, null, null]"};
  EXPECT_FALSE(open_log(write_table(directory / "a.parquet", {item}), predicting)->labelled());
  EXPECT_FALSE(open_log(write_table(directory / "b.parquet", {item, nulls, kConversion}), predicting)->labelled());
  const auto log = open_log(write_table(directory / "c.parquet", {item, kClick, kConversion}), predicting);
  EXPECT_TRUE(log->labelled());
  EXPECT_THAT(impressions(*log).click, ElementsAre(1, 0, 0));
  EXPECT_THAT(error_of([&] { static_cast<void>(open_log(directory / "a.parquet", options())); }),
              HasSubstr("a.parquet: no click column in the header, which has \"item\". Name one click"));
}

TEST(ParquetReader, ReadsTheFilesOfADirectoryInTheOrderOfTheirNames) {
  const TemporaryDirectory directory;
  const auto part = [&](const char* name, const std::string& items) {
    const std::string labels = items == "[]" ? "[]" : "[0, 0]";
    return write_table(
        directory / name,
        {{"item", arrow::int64(), items}, {"click", arrow::int8(), labels}, {"conversion", arrow::int8(), labels}});
  };
  const std::string last = part("part-2.parquet", "[5, 6]");
  const std::string first = part("part-0.snappy.parquet", "[]");
  const std::string middle = part("part-1.parquet", "[3, null]");
  for (const char* other : {"_metadata", "_file_list.txt", "schema.pbtxt", ".part-0.parquet.crc", "_x.parquet",
                            ".y.parquet", "sub.parquet/z.parquet"}) {
    directory.write(other, "x");
  }
  for (const int threads : {1, 3}) {
    const auto log = open_log(directory.path(), options(threads));
    EXPECT_THAT(log->files(), ElementsAre(first, middle, last));
    const ImpressionRows rows = impressions(*log);
    EXPECT_THAT(rows.features.id, ElementsAre(3, 5, 6));
    EXPECT_THAT(rows.line, ElementsAre(1, 2, 1, 2));  // in its file
    EXPECT_EQ(rows.sample_id[3], "4");                // in the log
  }
  write_table(directory / "part-3.parquet", {{"item", arrow::int64(), "[7]"}, {"click", arrow::int8(), "[0]"}});
  EXPECT_THAT(error_of([&] { static_cast<void>(impressions(*open_log(directory.path(), options()))); }),
              HasSubstr("part-3.parquet: there is not one column \"conversion\", as in the files before."));
}

TEST(ParquetReader, GivesTheSameRowsForAnyThreadsBatchesAndRowGroups) {
  std::mt19937 random(4);
  std::string click = "[", user = "[", item = "[", price = "[", tags = "[";
  for (int i = 0; i < 500; ++i) {
    const char* const comma = i == 0 ? "" : ",";
    click += fmt::format("{}{}", comma, random() % 50 == 0 ? 2 : random() % 2);
    user += fmt::format("{}{}", comma, random() % 40);
    item += fmt::format("{}\"{}\"", comma, random() % 3 == 0 ? "" : fmt::format("i{}", random() % 90));
    price += fmt::format("{}{}", comma, random() % 9 == 0 ? "null" : fmt::format("{}.5", random() % 100));
    tags += comma;
    tags += random() % 5 == 0 ? "null" : fmt::format("[{}, {}]", random() % 10, random());
  }
  const TemporaryDirectory directory;
  const Schema schema = schema_from_toml(
      "common_key = \"user\"\nsample = [\"item\", \"tags\"]\ncommon = [\"user\"]\ndense = [\"price\"]", "schema.toml");
  std::string expected;
  for (const std::int64_t row_group : {7, 100, 1000}) {
    const std::string path = write_table(directory / "log.parquet",
                                         {{"click", arrow::int8(), click + "]"},
                                          {"user", arrow::uint32(), user + "]"},
                                          {"item", arrow::utf8(), item + "]"},
                                          {"conversion", arrow::int8(), click + "]"},
                                          {"price", arrow::float32(), price + "]"},
                                          {"tags", arrow::list(arrow::int64()), tags + "]"}},
                                         row_group);
    for (const int threads : {1, 2, 5}) {
      for (const std::size_t batch_rows : {1, 16, 8192}) {
        ReaderOptions chosen = options(threads);
        chosen.schema = &schema;
        const auto log = open_parquet_log(path, chosen, batch_rows);
        ImpressionRows rows = impressions(*log);
        EXPECT_EQ(rows.text_bytes, std::filesystem::file_size(path));
        EXPECT_GT(rows.bad.size(), 2U);
        rows.bad.clear();  // they name the row group
        const std::string all = digest(rows) + digest(common_rows(*log));
        if (expected.empty()) expected = all;
        ASSERT_EQ(all, expected) << threads << " " << batch_rows << " " << row_group;
      }
    }
  }
  EXPECT_GT(std::count(expected.begin(), expected.end(), '\n'), 480);
}

TEST(ParquetReader, RefusesFilesWithoutRowsAndFilesThatAreNotParquet) {
  const TemporaryDirectory directory;
  const auto error = [&](const std::string& path) {
    return error_of([&] { static_cast<void>(impressions(*open_log(path, options()))); });
  };
  const std::string empty = write_table(directory / "empty.parquet", {{"item", arrow::int64(), "[]"}});
  EXPECT_EQ(error(empty), empty + ": no rows. Check how it was written.");
  for (const char* content : {"", "x", "PAR1", "click,conversion,item\n0,0,1\n"}) {
    EXPECT_THAT(
        error(directory.write("text.parquet", content)),
        testing::ContainsRegex("text.parquet: not a Parquet file, or damaged: [^.].*[^.]\\. Write it again\\.$"));
  }
}

/// Whatever is cut off or changed, the end is rows or an Error (data): never a crash, never half a log unsaid.
TEST(ParquetReader, SurvivesDamagedFiles) {
  const TemporaryDirectory directory;
  const std::string good = write_table(directory / "log.parquet",
                                       {kClick,
                                        kConversion,
                                        {"item", arrow::list(arrow::int64()), "[[5], [6, 7], []]"},
                                        {"shop", arrow::utf8(), R"(["a", "b", null])"}},
                                       2, /*store_types=*/false);
  const std::string bytes = test::read_bytes(good);
  const auto read = [&](const std::string& content) {
    try {
      static_cast<void>(impressions(*open_log(directory.write("log.parquet", content), options())));
      return true;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data) << error.what();
      return false;
    }
  };
  ASSERT_TRUE(read(bytes));
  for (std::size_t size = 0; size < bytes.size(); size += 7) EXPECT_FALSE(read(bytes.substr(0, size))) << size;
  std::mt19937 random(5);
  int refused = 0;
  for (int i = 0; i < 400; ++i) {
    std::string changed = bytes;
    changed[random() % bytes.size()] ^= static_cast<char>(1 + random() % 255);
    refused += read(changed) ? 0 : 1;
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace esmm
