#include <cmath>
#include <random>

#include "tests/io/log_files.hpp"

namespace esmm {
namespace {

using test::BadLine;
using test::common_rows;
using test::digest;
using test::error_of;
using test::features_of;
using test::gzip;
using test::impressions;
using test::options;
using test::TemporaryDirectory;
using test::zstd;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> names(const std::vector<Field>& fields) {
  std::vector<std::string> result;
  for (const Field& field : fields) result.push_back(field.name);
  return result;
}

TEST(CsvReader, GuessesTheSchemaAndReadsIdsAndDenseColumnsInAnyOrder) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("log.csv",
                                           "item,buy,price,Click,colour,Sample_ID,stock\n"
                                           "17,0,1.5,1,red,a,-1\n"
                                           "4294967296,1.0,2,1.0,\"dark \"\"red\"\", or so\",b,\n"
                                           "\n"
                                           "\"18\",0.0,,0,,\"c\",3\r\n");
  const auto log = open_log(path, options());
  EXPECT_EQ(log->schema().click, "Click");
  EXPECT_EQ(log->schema().conversion, "buy");
  EXPECT_EQ(log->schema().sample_id, "Sample_ID");
  EXPECT_THAT(names(log->schema().fields), ElementsAre("item", "colour", "stock"));
  EXPECT_THAT(log->schema().dense, ElementsAre("price"));
  EXPECT_TRUE(log->labelled());
  EXPECT_FALSE(log->has_common());
  EXPECT_THAT(log->files(), ElementsAre(path));

  const ImpressionRows rows = impressions(*log);
  EXPECT_TRUE(rows.bad.empty()) << rows.bad.front().message;
  EXPECT_THAT(rows.line, ElementsAre(2, 3, 5));
  EXPECT_THAT(rows.click, ElementsAre(1, 1, 0));
  EXPECT_THAT(rows.conversion, ElementsAre(0, 1, 0));
  EXPECT_EQ(rows.sample_id[0], "a");
  EXPECT_EQ(rows.sample_id[2], "c");
  EXPECT_EQ(rows.dense[0], 1.5F);
  EXPECT_EQ(rows.dense[1], 2.0F);
  EXPECT_TRUE(std::isnan(rows.dense[2]));
  const std::vector<Field>& fields = log->schema().fields;
  EXPECT_EQ(features_of(rows.features, 0, fields),
            fmt::format("item:17:1 colour:{}:1 stock:{}:1", feature_id("red"), feature_id("-1")));
  EXPECT_EQ(features_of(rows.features, 1, fields),
            fmt::format("item:4294967296:1 colour:{}:1", feature_id("dark \"red\", or so")));
  EXPECT_EQ(features_of(rows.features, 2, fields), "item:18:1 stock:3:1");
  EXPECT_TRUE(rows.common.empty());
  EXPECT_EQ(rows.text_bytes, std::filesystem::file_size(path));
}

TEST(CsvReader, NumbersDataRowsFromOneWhereThereIsNoSampleId) {
  const TemporaryDirectory directory;
  std::string text = "\nclick,conversion,item\n";
  for (int i = 1; i <= 100; ++i) text += fmt::format("0,0,{}{}", i == 50 ? "x,y" : "7", i % 7 == 0 ? "\n\n" : "\n");
  const std::string path = directory.write("log.csv", text);
  for (const int threads : {1, 3}) {
    const auto log = open_csv_log(path, ',', options(threads), 64);
    const ImpressionRows rows = impressions(*log);
    ASSERT_EQ(rows.sample_id.size(), 99U);
    EXPECT_EQ(rows.sample_id[0], "1");
    EXPECT_EQ(rows.sample_id[48], "49");
    EXPECT_EQ(rows.sample_id[49], "51");  // a bad row keeps its number
    EXPECT_EQ(rows.sample_id[98], "100");
  }
}

TEST(CsvReader, GuessesFromNamesWhereTheCellsDoNotTell) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("log.csv",
                                           "click,purchase,I1,C1,number_of_views,category,Dense_a,float_b,index,,"
                                           "label,half_empty\n"
                                           "0,0,3,1.0,4,2.5,5,text,6,0,7,\n"
                                           "0,0,3,1.0,4,2.5,5,text,6,1,7,0.5\n");
  const auto log = open_log(path, options());
  EXPECT_THAT(names(log->schema().fields), ElementsAre("C1", "category", "float_b", "index", "label"));
  EXPECT_THAT(log->schema().dense, ElementsAre("I1", "number_of_views", "Dense_a", "half_empty"));
  EXPECT_TRUE(impressions(*log).bad.empty());
}

constexpr const char* kRemedy = "Fix the line, or pass --on-bad-row skip.";

class BadCsvLines : public ::testing::TestWithParam<BadLine> {};

TEST_P(BadCsvLines, AreListedAndLeaveTheirNeighboursAlone) {
  const TemporaryDirectory directory;
  std::string text = "click,conversion,item,price,colour\n";
  for (int i = 0; i < 1000; ++i) text += "1,0,17,1.5,red\n";  // the guess sees these only
  const std::string path = directory.write("log.csv", text + GetParam().line + "\n1,0,17,1.5,red\n");
  const auto log = open_log(path, options());
  const ImpressionRows rows = impressions(*log);
  ASSERT_EQ(rows.bad.size(), 1U);
  EXPECT_EQ(rows.bad[0].kind, GetParam().kind);
  const std::string message = rows.bad[0].message;
  EXPECT_THAT(message, HasSubstr(path + ":1002: " + GetParam().message));
  EXPECT_TRUE(message.ends_with(kRemedy) || message.ends_with("or pass --on-bad-row skip.")) << message;
  EXPECT_EQ(rows.line.size(), 1001U);
  EXPECT_EQ(rows.line.back(), 1003U);
  EXPECT_EQ(rows.click.size(), 1001U);
  EXPECT_EQ(rows.conversion.size(), 1001U);
  EXPECT_EQ(rows.sample_id.size(), 1001U);
  EXPECT_EQ(rows.sample_id[1000], "1002");
  EXPECT_EQ(rows.dense.size(), 1001U);
  EXPECT_EQ(rows.dense.back(), 1.5F);
  EXPECT_EQ(features_of(rows.features, 1000, log->schema().fields),
            fmt::format("item:17:1 colour:{}:1", feature_id("red")));
}

INSTANTIATE_TEST_SUITE_P(
    Each, BadCsvLines,
    ::testing::Values(
        BadLine{"1,0,17,1.5", BadRowKind::field_count, "4 columns, but the header has 5: \"1,0,17,1.5\". Fix"},
        BadLine{"1,0,17,1.5,red,", BadRowKind::field_count,
                "6 columns, but the header has 5: \"1,0,17,1.5,red,\". Fix"},
        BadLine{"1,0,17,1,5,red", BadRowKind::field_count, "6 columns, but the header has 5"},
        BadLine{"yes,0,17,1.5,red", BadRowKind::label, "click is neither 0 nor 1: \"yes\". Fix"},
        BadLine{"1,,17,1.5,red", BadRowKind::label, "conversion is neither 0 nor 1: \"\". Fix"},
        BadLine{"1,0.5,17,1.5,red", BadRowKind::label, "conversion is neither 0 nor 1: \"0.5\". Fix"},
        BadLine{"1,0,17.5,1.5,red", BadRowKind::number,
                "column \"item\" was guessed to hold whole-number ids, but holds: \"17.5\". Declare the column in a "
                "--schema FILE.toml: under dense for decimals, under sample for ids of any text; or pass"},
        BadLine{"1,0,shoe,1.5,red", BadRowKind::number,
                "column \"item\" was guessed to hold whole-number ids, but holds: \"shoe\". Declare"},
        BadLine{"1,0,17,cheap,red", BadRowKind::number,
                "column \"price\" is not a decimal number (leave it empty if missing): \"cheap\". Fix"},
        BadLine{"1,0,17,nan,red", BadRowKind::number, "column \"price\" is not a decimal number"},
        BadLine{"1,0,17,-inf,red", BadRowKind::number, "column \"price\" is not a decimal number"},
        BadLine{"1,0,17,1e60,red", BadRowKind::range,
                "column \"price\" is outside the range of a float: \"1e60\". Fix"},
        BadLine{"1,0,17,1.5,\"red", BadRowKind::separator,
                "cell 5 has no closing quote (a cell cannot span lines). Fix"},
        BadLine{"1,0,17,1.5,\"red\"\"", BadRowKind::separator, "cell 5 has no closing quote"},
        BadLine{"1,0,\"17\"x,1.5,red", BadRowKind::separator, "cell 3 goes on after its closing quote. Fix"}));

struct BadFile {
  const char* content;
  const char* message;
};
class BadCsvFiles : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadCsvFiles, AreRefusedAsAWhole) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("log.csv", GetParam().content);
  EXPECT_THAT(error_of([&] { static_cast<void>(open_log(path, options())); }), HasSubstr(path + GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Each, BadCsvFiles,
    ::testing::Values(
        BadFile{"", ": the file is empty. Check how it was written."}, BadFile{"\n\r\n", ": the file is empty"},
        BadFile{"click,conversion,item\n", ":1: a header and no rows. Check how the file was written."},
        BadFile{
            "clicked,conversion,item\n0,0,1\n",
            ":1: no click column in the header, which has \"clicked\", \"conversion\", \"item\". Name one click, or "
            "name it in a --schema FILE.toml: click = \"clicked\"."},
        BadFile{"label,item\n0,1\n",
                ":1: no click column in the header, which has \"label\", \"item\". Name one click, or name it in a "
                "--schema FILE.toml: click = \"…\"."},
        BadFile{
            "click,item\n0,1\n",
            ":1: no conversion column in the header, which has \"click\", \"item\". Name one conversion, purchase or "
            "buy, or name it in a --schema FILE.toml: conversion = \"…\"."},
        BadFile{"click,conversion,item,item\n0,0,1,1\n",
                ":1: two columns are named \"item\" (columns 3 and 4). Rename one."},
        BadFile{
            "click,conversion,purchase,item\n0,0,0,1\n",
            ": label column among the features: \"purchase\" (the labels are \"click\" and \"conversion\"). Rename it, "
            "or pass --schema FILE.toml that lists it under ignore."},
        BadFile{"click,conversion,item,CLICK\n0,0,1,0\n", ": label column among the features: \"CLICK\""}));

TEST(CsvReader, RefusesASchemaThatTheHeaderDoesNotFit) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("log.csv", "click,conversion,item,price\n0,0,1,2.5\n");
  const auto error = [&](const char* toml) {
    const Schema schema = schema_from_toml(toml, "schema.toml");
    ReaderOptions chosen = options();
    chosen.schema = &schema;
    return error_of([&] { static_cast<void>(open_log(path, chosen)); });
  };
  EXPECT_EQ(error("sample = [\"item\", \"shop\"]"),
            path +
                ":1: the header lacks the column \"shop\" that the schema names as sample. It has \"click\", "
                "\"conversion\", \"item\", \"price\".");
  EXPECT_EQ(error("sample = [\"itme\"]"),
            path + ":1: the header lacks the column \"itme\" that the schema names as sample. Did you mean \"item\"?");
  EXPECT_THAT(error("sample = [\"item\"]\nsample_id = \"id\""), HasSubstr("lacks the column \"id\""));
  EXPECT_THAT(error("sample = [\"item\"]\nclick = \"clik\""),
              HasSubstr("lacks the column \"clik\" that the schema names as click. Did you mean \"click\"?"));
  EXPECT_THAT(error("common = [\"item\"]"), HasSubstr("the schema has common fields but no common_key"));
  EXPECT_THAT(error("sample = [\"item\", \"conversion\"]"),
              HasSubstr("label column among the features: \"conversion\""));
  EXPECT_THAT(error("sample = [\"item\"]\nsample_id = \"item\""),
              HasSubstr("the schema names the column \"item\" as sample_id and as something else"));
}

TEST(CsvReader, TakesOnlyTheColumnsThatAGivenSchemaNames) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("log.tsv", "buy\tclick\titem\tconversion\tversion\n1\t1\t5\t0\t1.5\n");
  const Schema schema = schema_from_toml("sample = [\"version\", \"item\"]\nignore = [\"buy\"]", "schema.toml");
  ReaderOptions chosen = options();
  chosen.schema = &schema;
  const ImpressionRows rows = impressions(*open_log(path, chosen));
  ASSERT_TRUE(rows.bad.empty()) << rows.bad.front().message;
  EXPECT_THAT(rows.conversion, ElementsAre(0));
  EXPECT_EQ(features_of(rows.features, 0, schema.fields),
            fmt::format("item:5:1 version:{}:1", feature_id("1.5")));  // any text is an id once the schema says so
}

TEST(CsvReader, SharesTheCommonFieldsOfRowsWithEqualKeys) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("log.csv",
                                           "click,conversion,user,age,item\n"
                                           "0,0,anna,30,1\n"
                                           "0,x,bert,40,2\n"  // bad: defines nothing
                                           "1,0,bert,41,3\n"
                                           "0,0,anna,31,4\n"  // the first one wins
                                           "0,0,,50,5\n"
                                           "0,0,carl,,6\n");
  const Schema schema =
      schema_from_toml("common_key = \"user\"\nsample = [\"item\"]\ncommon = [\"user\", \"age\"]", "schema.toml");
  ReaderOptions chosen = options();
  chosen.schema = &schema;
  for (const int threads : {1, 2}) {
    chosen.threads = threads;
    const auto log = open_csv_log(path, ',', chosen, 16);
    EXPECT_TRUE(log->has_common());
    const CommonRows common = common_rows(*log);
    EXPECT_THAT(common.key, ElementsAre(common_key("anna"), common_key("bert"), common_key("carl")));
    EXPECT_THAT(common.line, ElementsAre(2, 4, 7));
    EXPECT_TRUE(common.bad.empty());  // reported once, by read_impressions
    const std::vector<Field> fields = schema.side(Side::common);
    EXPECT_EQ(features_of(common.features, 0, fields), fmt::format("user:{}:1 age:30:1", feature_id("anna")));
    EXPECT_EQ(features_of(common.features, 1, fields), fmt::format("user:{}:1 age:41:1", feature_id("bert")));
    EXPECT_EQ(features_of(common.features, 2, fields), fmt::format("user:{}:1", feature_id("carl")));

    const ImpressionRows rows = impressions(*log);
    EXPECT_THAT(rows.common,
                ElementsAre(common_key("anna"), common_key("bert"), common_key("anna"), common_key("carl")));
    EXPECT_EQ(features_of(rows.features, 2, schema.side(Side::sample)), "item:4:1");
    ASSERT_EQ(rows.bad.size(), 2U);
    EXPECT_EQ(rows.bad[1].kind, BadRowKind::unknown_common);
    EXPECT_THAT(rows.bad[1].message, HasSubstr("log.csv:6: column \"user\" (the common key) is empty"));
  }
}

TEST(CsvReader, NeedsNoLabelsForPrediction) {
  const TemporaryDirectory directory;
  ReaderOptions predicting = options();
  predicting.labels_required = false;
  const auto check = [&](const char* content, bool labelled, const Schema* schema) {
    predicting.schema = schema;
    const auto log = open_log(directory.write("log.csv", content), predicting);
    EXPECT_EQ(log->labelled(), labelled) << content;
    const ImpressionRows rows = impressions(*log);
    EXPECT_TRUE(rows.bad.empty()) << content << rows.bad.front().message;
    EXPECT_THAT(rows.click, ElementsAre(labelled ? 1 : 0, 0)) << content;
    EXPECT_THAT(rows.features.id, ElementsAre(5, 6)) << content;
  };
  const Schema frozen = schema_from_toml("sample = [\"item\"]", "schema.toml");
  for (const Schema* schema : {static_cast<const Schema*>(nullptr), &frozen}) {
    check("item\n5\n6\n", false, schema);
    check("item,click\n5,1\n6,0\n", false, schema);
    check("item,click,conversion\n5,,\n6,,\n", false, schema);
    check("item,click,conversion\n5,1,1\n6,0,0\n", true, schema);
    check("item,click,conversion\n5,1,1\n6,,\n", true, schema);
  }
  const auto log = open_log(directory.write("log.csv", "item,sample_id\n5,a\n"), predicting);
  EXPECT_EQ(impressions(*log).sample_id[0], "a");  // though the frozen schema has no sample_id
}

TEST(CsvReader, GivesTheSameRowsForAnyThreadsChunksAndCompression) {
  std::mt19937 random(4);
  std::string text =
      "\xEF\xBB\xBF"
      "sample_id,click,conversion,user,item,price\n";
  for (int i = 0; i < 2000; ++i) {
    text += fmt::format("{},{},0,{},{},{}{}", i, random() % 2, random() % 100, random(),
                        random() % 4 == 0 ? "" : fmt::format("{}.{}", random() % 100, random()),
                        random() % 50 == 0 ? ",\n" : "\n");
  }
  const TemporaryDirectory directory;
  const Schema schema = schema_from_toml(
      "sample_id = \"sample_id\"\ncommon_key = \"user\"\nsample = [\"item\"]\ncommon = [\"user\"]\ndense = [\"price\"]",
      "schema.toml");
  std::string expected;
  for (const std::string& content : {text, gzip(text), zstd(text)}) {
    const std::string path = directory.write("log.csv", content);
    for (const int threads : {1, 2, 5}) {
      for (const std::size_t chunk_bytes : {std::size_t{64}, std::size_t{3000}, TextSource::kChunkBytes}) {
        ReaderOptions chosen = options(threads);
        chosen.schema = &schema;
        const auto log = open_csv_log(path, ',', chosen, chunk_bytes);
        const std::string rows = digest(impressions(*log)) + digest(common_rows(*log));
        if (expected.empty()) expected = rows;
        ASSERT_EQ(rows, expected) << threads << " " << chunk_bytes;
      }
    }
  }
  EXPECT_GT(std::count(expected.begin(), expected.end(), '\n'), 2000);
}

/// The first lines of ali_ccp_sample.csv and aliexpress_*_sample.csv as they are published.
TEST(CsvReader, GuessesPublishedLayouts) {
  const TemporaryDirectory directory;
  const std::string ali_ccp =
      directory.write("ali_ccp.csv",
                      "click,purchase,101,121,122,124,125,126,127,128,129,205,206,207,216,508,509,702,853,301\n"
                      "0,0,85077,60,5,2,5,0,1,2,1,303983,3751,249750,4124,5565,0,0,6260,2\n"
                      "0,1,85077,60,5,2,5,0,1,2,1,278769,887,252320,35421,0,0,0,0,2\n");
  const auto first = open_log(ali_ccp, options());
  EXPECT_EQ(first->schema().conversion, "purchase");
  EXPECT_EQ(first->schema().fields.size(), 18U);
  EXPECT_TRUE(first->schema().dense.empty());
  EXPECT_THAT(impressions(*first).conversion, ElementsAre(0, 1));

  const std::string aliexpress =
      directory.write("aliexpress.csv",
                      "search_id,categorical_1,categorical_2,numerical_1,numerical_58,click,conversion\n"
                      "81,9,0,0.032257999999999995,0,0,0\n34,9,0,1.0,3,1,0\n");
  const auto second = open_log(aliexpress, options());
  EXPECT_THAT(names(second->schema().fields), ElementsAre("search_id", "categorical_1", "categorical_2"));
  EXPECT_THAT(second->schema().dense, ElementsAre("numerical_1", "numerical_58"));
  EXPECT_THAT(impressions(*second).dense, ElementsAre(0.032257999999999995F, 0, 1, 3));
}

}  // namespace
}  // namespace esmm
