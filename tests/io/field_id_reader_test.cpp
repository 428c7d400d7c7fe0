#include <random>

#include "tests/io/log_files.hpp"

namespace esmm {
namespace {

using test::BadLine;
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

TEST(FieldIdReader, CollectsTheFieldsInOrderOfFirstAppearance) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("log.txt",
                                           "s1,1,0,item:5,a_long_field_name:red:0.25\n"
                                           "\n"
                                           "s2,0,0\r\n"
                                           "s3,1,1,user:4294967296,item:6:2,item:7:-1e-3");
  const auto log = open_log(path, options());
  EXPECT_TRUE(log->labelled());
  EXPECT_FALSE(log->has_common());
  EXPECT_THAT(log->schema().fields, ElementsAre(Field{"item", Side::sample, "item"},
                                                Field{"a_long_field_name", Side::sample, "a_long_field_name"},
                                                Field{"user", Side::sample, "user"}));
  const ImpressionRows rows = impressions(*log);
  EXPECT_TRUE(rows.bad.empty()) << rows.bad.front().message;
  EXPECT_THAT(rows.line, ElementsAre(1, 3, 4));
  EXPECT_THAT(rows.click, ElementsAre(1, 0, 1));
  EXPECT_THAT(rows.conversion, ElementsAre(0, 0, 1));
  EXPECT_EQ(rows.sample_id[1], "s2");
  EXPECT_EQ(features_of(rows.features, 0, log->schema().fields),
            fmt::format("item:5:1 a_long_field_name:{}:0.25", feature_id("red")));
  EXPECT_EQ(features_of(rows.features, 1, log->schema().fields), "");
  EXPECT_EQ(features_of(rows.features, 2, log->schema().fields), "user:4294967296:1 item:6:2 item:7:-0.001");
}

class BadFieldIdLines : public ::testing::TestWithParam<BadLine> {};

TEST_P(BadFieldIdLines, AreListedAndLeaveTheirNeighboursAlone) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("log.txt", fmt::format("a,0,0,item:1\n{}\nb,0,0,item:2\n", GetParam().line));
  const Schema schema = schema_from_toml("sample = [\"item\"]", "schema.toml");
  ReaderOptions chosen = options();
  chosen.schema = &schema;
  const ImpressionRows rows = impressions(*open_log(path, chosen));
  ASSERT_EQ(rows.bad.size(), 1U);
  EXPECT_EQ(rows.bad[0].kind, GetParam().kind);
  EXPECT_EQ(rows.bad[0].message,
            fmt::format("{}:2: {}. Fix the line, or pass --on-bad-row skip.", path, GetParam().message));
  EXPECT_THAT(rows.line, ElementsAre(1, 3));
  EXPECT_THAT(rows.features.row_end, ElementsAre(1, 2));
  EXPECT_THAT(rows.features.id, ElementsAre(1, 2));
  EXPECT_EQ(rows.sample_id.size(), 2U);
}

INSTANTIATE_TEST_SUITE_P(
    Each, BadFieldIdLines,
    ::testing::Values(
        BadLine{"s,1", BadRowKind::field_count,
                "fewer than 3 columns (sample_id,click,conversion,field:id[:value],…): \"s,1\""},
        BadLine{"s,-1,0", BadRowKind::label, "click is neither 0 nor 1: \"-1\""},
        BadLine{"s,0,item:3", BadRowKind::label, "conversion is neither 0 nor 1: \"item:3\""},
        BadLine{"s,0,0,item:3,item", BadRowKind::separator, "feature 2 is not of the form field:id[:value]: \"item\""},
        BadLine{"s,0,0,item:3,", BadRowKind::separator, "feature 2 is not of the form field:id[:value]: \"\""},
        BadLine{"s,0,0,:3", BadRowKind::separator, "feature 1 is not of the form field:id[:value]: \":3\""},
        BadLine{"s,0,0,item:3:1:1", BadRowKind::separator,
                "feature 1 is not of the form field:id[:value]: \"item:3:1:1\""},
        BadLine{"s,0,0,item:", BadRowKind::number, "feature 1 has no id: \"item:\""},
        BadLine{"s,0,0,shop:3", BadRowKind::unknown_field,
                "feature 1 has a field that the schema does not have: \"shop:3\""},
        BadLine{"s,0,0,itme:3", BadRowKind::unknown_field,
                "feature 1 has a field that the schema does not have (it has \"item\"): \"itme:3\""},
        BadLine{"s,0,0,item:3:", BadRowKind::number, "feature 1 has a value that is not a decimal number: \"item:3:\""},
        BadLine{"s,0,0,item:3:nan", BadRowKind::number,
                "feature 1 has a value that is not a decimal number: \"item:3:nan\""},
        BadLine{"s,0,0,item:3:1e99", BadRowKind::range,
                "feature 1 has a value outside the range of a float: \"item:3:1e99\""}));

TEST(FieldIdReader, AcceptsEmptyLabelsForPrediction) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("log.txt", "a,,,item:1\nb,,\n");
  ReaderOptions predicting = options();
  predicting.labels_required = false;
  const auto log = open_log(path, predicting);
  EXPECT_FALSE(log->labelled());
  EXPECT_EQ(impressions(*log).line.size(), 2U);
  EXPECT_EQ(impressions(*open_log(path, options())).bad.size(), 2U);
}

TEST(FieldIdReader, SkipsWhatTheSchemaIgnores) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("log.txt", "a,0,0,item:1,shop:2,item:3\n");
  const Schema schema = schema_from_toml("sample = [\"item\"]\nignore = [\"shop\"]", "schema.toml");
  ReaderOptions chosen = options();
  chosen.schema = &schema;
  EXPECT_THAT(impressions(*open_log(path, chosen)).features.id, ElementsAre(1, 3));
}

TEST(FieldIdReader, RefusesFilesThatCannotBeMeant) {
  const TemporaryDirectory directory;
  const auto error = [&](const std::string& content, const Schema* schema = nullptr) {
    const std::string path = directory.write("log.txt", content);
    ReaderOptions chosen = options();
    chosen.schema = schema;
    return error_of([&] { static_cast<void>(open_log(path, chosen)); });
  };
  EXPECT_THAT(error(""), HasSubstr("log.txt: the file is empty"));
  EXPECT_THAT(error("a,0,0\n"), HasSubstr("log.txt:1: no feature of the form field:id[:value]"));
  EXPECT_THAT(error("a,0,0,item:1,click:1\n"), HasSubstr("log.txt: label column among the features: \"click\""));
  EXPECT_THAT(error(std::string("a,0,0,item:1\0", 13)), HasSubstr("log.txt:1: contains NUL bytes"));
  std::string swapped = "a,0,0";
  for (int i = 0; i < 70'000; ++i) swapped += fmt::format(",{}:item", i);
  EXPECT_THAT(error(swapped + "\n"), HasSubstr("log.txt: more than 65,535 different fields"));
  const Schema common = schema_from_toml("sample = [\"item\"]\ncommon = [\"user\"]", "schema.toml");
  EXPECT_THAT(error("a,0,0,item:1\n", &common), HasSubstr("the schema has common fields or dense columns"));
}

TEST(FieldIdReader, GivesTheSameRowsForAnyThreadsChunksAndCompression) {
  std::mt19937 random(8);
  std::string text;
  for (int i = 0; i < 2000; ++i) {
    text += fmt::format("{},{},0", i, random() % 2);
    for (auto n = random() % 8; n > 0; --n) text += fmt::format(",field_{}:{}:{}.5", random() % 40, random(), random());
    text += random() % 50 == 0 ? ",x\n" : "\n";
  }
  const TemporaryDirectory directory;
  std::string expected;
  Schema schema;
  for (const std::string& content : {text, gzip(text), zstd(text)}) {
    const std::string path = directory.write("log.txt", content);
    for (const int threads : {1, 2, 5}) {
      for (const std::size_t chunk_bytes : {std::size_t{64}, std::size_t{3000}, TextSource::kChunkBytes}) {
        const auto log = open_field_id_log(path, options(threads), chunk_bytes);
        const std::string rows = digest(impressions(*log));
        if (expected.empty()) {
          expected = rows;
          schema = log->schema();
        }
        ASSERT_EQ(rows, expected) << threads << " " << chunk_bytes;
        ASSERT_EQ(log->schema(), schema) << threads << " " << chunk_bytes;
      }
    }
  }
  EXPECT_EQ(schema.fields.size(), 40U);
}

}  // namespace
}  // namespace esmm
