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

constexpr const char* kSkeleton = "sample_skeleton_train.csv";
constexpr const char* kCommon = "common_features_train.csv";

TEST(AliCcpReader, ReadsBothFiles) {
  const TemporaryDirectory directory;
  directory.write(kSkeleton,
                  "1,0,0,bacff91692951881,3,210\x02"
                  "4294967295\x03"
                  "1.0\x01"
                  "210\x02"
                  "43\x03"
                  "0.69315\x01"
                  "205\x02"
                  "7\x03"
                  "2.0\n"
                  "\n"
                  "2,1,1,bacff91692951881,0,\r\n"
                  "3,1,0,ffff,1,301\x02"
                  "9223372036854775807\x03"
                  "1e-3");
  directory.write(kCommon,
                  "bacff91692951881,1,110_14\x02"
                  "4294967296\x03"
                  "2.70805\nffff,0,\n");
  const auto log = open_log(directory.path(), options());
  EXPECT_EQ(log->schema(), ali_ccp_schema());
  EXPECT_TRUE(log->labelled());
  EXPECT_TRUE(log->has_common());
  EXPECT_THAT(log->files(), ElementsAre((directory / kCommon), (directory / kSkeleton)));

  const ImpressionRows rows = impressions(*log);
  EXPECT_TRUE(rows.bad.empty()) << rows.bad.front().message;
  EXPECT_THAT(rows.line, ElementsAre(1, 3, 4));
  EXPECT_EQ(rows.sample_id[2], "3");
  EXPECT_THAT(rows.click, ElementsAre(0, 1, 1));
  EXPECT_THAT(rows.conversion, ElementsAre(0, 1, 0));
  EXPECT_THAT(rows.common,
              ElementsAre(common_key("bacff91692951881"), common_key("bacff91692951881"), common_key("ffff")));
  const std::vector<Field> sample = log->schema().side(Side::sample);
  EXPECT_EQ(features_of(rows.features, 0, sample), "210:4294967295:1 210:43:0.69315 205:7:2");
  EXPECT_EQ(features_of(rows.features, 1, sample), "");
  EXPECT_EQ(features_of(rows.features, 2, sample), "301:9223372036854775807:0.001");
  EXPECT_EQ(rows.text_bytes, std::filesystem::file_size((directory / kSkeleton)));

  const CommonRows common = common_rows(*log);
  EXPECT_THAT(common.key, ElementsAre(common_key("bacff91692951881"), common_key("ffff")));
  EXPECT_EQ(features_of(common.features, 0, log->schema().side(Side::common)), "110_14:4294967296:2.70805");
}

/// `#`, `.` and `:` stand for the separators \x01, \x02 and \x03.
std::string with_separators(std::string line) {
  for (char& c : line) c = c == '#' ? '\x01' : c == '.' ? '\x02' : c == ':' ? '\x03' : c;
  return line;
}

class BadSkeletonLines : public ::testing::TestWithParam<BadLine> {};

TEST_P(BadSkeletonLines, AreListedAndLeaveTheirNeighboursAlone) {
  const TemporaryDirectory directory;
  const std::string good = with_separators("8,1,0,u,2,205.1:1#853.2:3\n");
  directory.write(kSkeleton, good + with_separators(GetParam().line) + "\n" + good);
  directory.write(kCommon, "u,0,\n");
  const auto log = open_log(directory.path(), options());
  const ImpressionRows rows = impressions(*log);
  ASSERT_EQ(rows.bad.size(), 1U);
  EXPECT_EQ(rows.bad[0].kind, GetParam().kind);
  EXPECT_EQ(rows.bad[0].message, std::string("sample_skeleton_train.csv:2: ") + GetParam().message +
                                     ". Fix the line, or pass --on-bad-row skip.");
  EXPECT_THAT(rows.line, ElementsAre(1, 3));
  EXPECT_THAT(rows.features.row_end, ElementsAre(2, 4));
  EXPECT_THAT(rows.features.id, ElementsAre(1, 2, 1, 2));
  EXPECT_EQ(rows.sample_id.size(), 2U);
  EXPECT_EQ(rows.common.size(), 2U);
}

INSTANTIATE_TEST_SUITE_P(
    Each, BadSkeletonLines,
    ::testing::Values(
        BadLine{"1,0,0,u,1", BadRowKind::field_count,
                "5 columns instead of 6 (sample_id,click,conversion,common_feature_index,feature_num,features): "
                "\"1,0,0,u,1\""},
        BadLine{"1,2,0,u,0,", BadRowKind::label, "click is neither 0 nor 1: \"2\""},
        BadLine{"1,0,,u,0,", BadRowKind::label, "conversion is neither 0 nor 1: \"\""},
        BadLine{"1,0,01,u,0,", BadRowKind::label, "conversion is neither 0 nor 1: \"01\""},
        BadLine{"1,0,0,u,x,205.1:1", BadRowKind::number, "feature_num is not a whole number: \"x\""},
        BadLine{"1,0,0,u,-1,205.1:1", BadRowKind::number, "feature_num is not a whole number: \"-1\""},
        BadLine{"1,0,0,u,2,205.1:1", BadRowKind::field_count, "feature_num says 2, but the line holds 1 records"},
        BadLine{"1,0,0,u,1,205.1:1#205.2:1", BadRowKind::field_count,
                "feature_num says 1, but the line holds 2 records"},
        BadLine{"1,0,0,u,0,205.1:1", BadRowKind::field_count, "feature_num says 0, but the line holds 1 records"},
        BadLine{"1,0,0,u,3,", BadRowKind::field_count, "feature_num says 3, but the line holds 0 records"},
        BadLine{"1,0,0,u,9000000000000000000,205.1:1", BadRowKind::field_count,
                "feature_num says 9000000000000000000, but the line holds 1 records"},
        BadLine{"1,0,0,u,1,205.1:1#", BadRowKind::field_count, "feature_num says 1, but the line holds 2 records"},
        BadLine{"1,0,0,u,2,205.1:1#210.43", BadRowKind::separator,
                R"(record 2 has no value separator (\x03): "210\x0243")"},
        BadLine{"1,0,0,u,1,205:1", BadRowKind::separator, R"(record 1 has no field separator (\x02): "205\x031")"},
        BadLine{"1,0,0,u,2,205.1:1#", BadRowKind::separator, R"(record 2 has no field separator (\x02): "")"},
        BadLine{"1,0,0,u,1,999.1:1", BadRowKind::unknown_field,
                R"(record 1 has a field that the schema does not have: "999\x021\x031")"},
        BadLine{"1,0,0,u,1,0853.1:1", BadRowKind::unknown_field,
                R"(record 1 has a field that the schema does not have (it has "853"): "0853\x021\x031")"},
        BadLine{"1,0,0,u,1,.1:1", BadRowKind::unknown_field,
                R"(record 1 has a field that the schema does not have: "\x021\x031")"},
        BadLine{"1,0,0,u,1,a_long_name.1:1", BadRowKind::unknown_field,
                R"(record 1 has a field that the schema does not have: "a_long_name\x021\x031")"},
        BadLine{"1,0,0,u,1,101.1:1", BadRowKind::unknown_field,
                R"(record 1 has a common field in a sample row: "101\x021\x031")"},
        BadLine{"1,0,0,u,1,205.:1", BadRowKind::number,
                R"(record 1 has an id that is not a whole number: "205\x02\x031")"},
        BadLine{"1,0,0,u,1,205.-5:1", BadRowKind::number,
                R"(record 1 has an id that is not a whole number: "205\x02-5\x031")"},
        BadLine{"1,0,0,u,1,205.12a:1", BadRowKind::number,
                R"(record 1 has an id that is not a whole number: "205\x0212a\x031")"},
        BadLine{"1,0,0,u,1,205.9223372036854775808:1", BadRowKind::range,
                R"(record 1 has an id of 2^63 or more: "205\x029223372036854775808\x031")"},
        BadLine{"1,0,0,u,1,205.1:", BadRowKind::number,
                R"(record 1 has a value that is not a decimal number: "205\x021\x03")"},
        BadLine{"1,0,0,u,1,205.1:nan", BadRowKind::number,
                R"(record 1 has a value that is not a decimal number: "205\x021\x03nan")"},
        BadLine{"1,0,0,u,1,205.1:inf", BadRowKind::number,
                R"(record 1 has a value that is not a decimal number: "205\x021\x03inf")"},
        BadLine{"1,0,0,u,1,205.1:1,5", BadRowKind::number,
                R"(record 1 has a value that is not a decimal number: "205\x021\x031,5")"},
        BadLine{"1,0,0,u,1,205.1:1e39", BadRowKind::range,
                R"(record 1 has a value outside the range of a float: "205\x021\x031e39")"},
        BadLine{
            "1,0,0,u,1,205.1 and a very long text that nobody would want to see whole in a message",
            BadRowKind::separator,
            R"(record 1 has no value separator (\x03): "205\x021 and a very long text that nobody would want to see who…")"}));

TEST(AliCcpReader, ListsBadCommonLines) {
  const TemporaryDirectory directory;
  directory.write(kSkeleton, "1,0,0,u,0,\n");
  directory.write(kCommon,
                  "u,0,\nu\nv,1,205\x02"
                  "1\x03"
                  "1\nw,0,\n");
  const auto log = open_log(directory.path(), options());
  const CommonRows rows = common_rows(*log);
  ASSERT_EQ(rows.bad.size(), 2U);
  EXPECT_THAT(rows.bad[0].message, HasSubstr("common_features_train.csv:2: 1 columns instead of 3 "
                                             "(common_feature_index,feature_num,features): \"u\""));
  EXPECT_EQ(rows.bad[1].kind, BadRowKind::unknown_field);
  EXPECT_THAT(rows.bad[1].message,
              HasSubstr("common_features_train.csv:3: record 1 has a sample field in a common row"));
  EXPECT_THAT(rows.line, ElementsAre(1, 4));
}

/// A random log with some bad lines.
void write_random_log(const TemporaryDirectory& directory, const std::function<std::string(const std::string&)>& packed,
                      const std::string& suffix) {
  std::mt19937 random(9);
  const auto features = [&](const char* const* fields, std::size_t count) {
    const auto records = random() % 12;
    std::string text = std::to_string(records) + ",";
    for (std::size_t i = 0; i < records; ++i) {
      text += fmt::format("{}{}\x02{}\x03{}.{}", i == 0 ? "" : "\x01", fields[random() % count],
                          random() >> (random() % 32), random() % 100, random() >> (random() % 32));
    }
    return text + (random() % 20 == 0 ? "x\n" : "\n");
  };
  constexpr std::array<const char*, 3> sample{"205", "210", "301"};
  constexpr std::array<const char*, 3> common{"101", "110_14", "129"};
  std::string skeleton_text;
  std::string common_text;
  for (int i = 0; i < 400; ++i) {
    skeleton_text += fmt::format("{},{},0,{:032x},", i, random() % 2, random() % 50) + features(sample.data(), 3);
  }
  for (int i = 0; i < 50; ++i) common_text += fmt::format("{:032x},", i) + features(common.data(), 3);
  directory.write(kSkeleton + suffix, packed(skeleton_text));
  directory.write(kCommon + suffix, packed(common_text));
}

std::string without(std::string text, const std::string& part) {
  if (part.empty()) return text;
  for (std::size_t at = 0; (at = text.find(part)) != std::string::npos;) text.erase(at, part.size());
  return text;
}

TEST(AliCcpReader, GivesTheSameRowsForAnyThreadsChunksAndCompression) {
  std::string expected;
  std::string expected_common;
  const std::vector<std::pair<std::string, std::function<std::string(const std::string&)>>> forms{
      {"", [](const std::string& text) { return text; }},
      {".gz", [](const std::string& text) { return gzip(text); }},
      {".zst", [](const std::string& text) { return zstd(text); }},
      {"", [](const std::string& text) { return gzip(text); }}};  // told by its first bytes, not by its name
  for (const auto& [suffix, packed] : forms) {
    const TemporaryDirectory directory;
    write_random_log(directory, packed, suffix);
    for (const int threads : {1, 2, 5}) {
      for (const std::size_t chunk_bytes : {std::size_t{64}, std::size_t{5000}, TextSource::kChunkBytes}) {
        const auto log = open_ali_ccp_log(directory.path(), options(threads), chunk_bytes);
        const std::string rows = without(digest(impressions(*log)), suffix);
        const std::string common = without(digest(common_rows(*log)), suffix);
        EXPECT_GT(std::count(rows.begin(), rows.end(), '\n'), 300);
        if (expected.empty()) expected = rows;
        if (expected_common.empty()) expected_common = common;
        ASSERT_EQ(rows, expected) << suffix << " " << threads << " " << chunk_bytes;
        ASSERT_EQ(common, expected_common) << suffix << " " << threads << " " << chunk_bytes;
      }
    }
  }
}

TEST(AliCcpReader, ReadsTheHalfAskedFor) {
  const TemporaryDirectory directory;
  for (const char* half : {"test", "train"}) {
    directory.write(fmt::format("sample_skeleton_{}.csv", half), fmt::format("{},0,0,u,0,\n", half));
    directory.write(fmt::format("common_features_{}.csv", half), "u,0,\n");
  }
  for (const auto& [half, expected] : {std::pair{Half::train, "train"}, std::pair{Half::test, "test"}}) {
    ReaderOptions chosen = options();
    chosen.half = half;
    EXPECT_EQ(impressions(*open_log(directory.path(), chosen)).sample_id[0], expected);
  }
  ReaderOptions whole = options();
  whole.half = Half::whole;
  const ImpressionRows rows = impressions(*open_log(directory.path(), whole));
  ASSERT_EQ(rows.sample_id.size(), 2U);
  EXPECT_EQ(rows.sample_id[0], "train");
  EXPECT_EQ(rows.sample_id[1], "test");
}

TEST(AliCcpReader, AcceptsEmptyLabelsForPrediction) {
  const TemporaryDirectory directory;
  directory.write(kSkeleton, "1,,,u,0,\n2,,,u,0,\n");
  directory.write(kCommon, "u,0,\n");
  ReaderOptions predicting = options();
  predicting.labels_required = false;
  const auto log = open_log(directory.path(), predicting);
  EXPECT_FALSE(log->labelled());
  const ImpressionRows rows = impressions(*log);
  EXPECT_TRUE(rows.bad.empty());
  EXPECT_THAT(rows.click, ElementsAre(0, 0));
  EXPECT_EQ(impressions(*open_log(directory.path(), options())).bad.size(), 2U);
}

TEST(AliCcpReader, FollowsASchemaOfTheUsersAndSkipsWhatItIgnores) {
  const TemporaryDirectory directory;
  directory.write(kSkeleton, with_separators("1,0,0,u,3,item_category.5:1#205.6:2#301.7:3\n"));
  directory.write(kCommon, with_separators("u,1,age.3:1\n"));
  const Schema schema =
      schema_from_toml("sample = [\"301\", \"item_category\"]\ncommon = [\"age\"]\nignore = [\"205\"]", "schema.toml");
  ReaderOptions chosen = options();
  chosen.schema = &schema;
  const auto log = open_log(directory.path(), chosen);
  const ImpressionRows rows = impressions(*log);
  EXPECT_TRUE(rows.bad.empty()) << rows.bad.front().message;
  EXPECT_EQ(features_of(rows.features, 0, schema.side(Side::sample)), "item_category:5:1 301:7:3");
  EXPECT_EQ(features_of(common_rows(*log).features, 0, schema.side(Side::common)), "age:3:1");
}

TEST(AliCcpReader, RefusesIncompleteDirectoriesAndEmptyFiles) {
  const TemporaryDirectory directory;
  const auto error = [&] { return error_of([&] { static_cast<void>(open_log(directory.path(), options())); }); };
  directory.write("sample_skeleton_test.csv", "1,0,0,u,0,\n");
  EXPECT_EQ(error(), directory.path() +
                         ": no sample_skeleton_train.csv (nor .csv.gz, .csv.zst). Add it, or pass another "
                         "directory.");
  directory.write(kSkeleton, "1,0,0,u,0,\n");
  EXPECT_EQ(error(),
            (directory / kSkeleton) +
                ": no common_features file beside it. Put common_features_*.csv (or .csv.gz, .csv.zst) there.");
  directory.write(kCommon, "\n\n");
  EXPECT_EQ(error(), (directory / kCommon) + ": the file is empty. Check how it was written.");
  directory.write(kCommon, "u,0,\n");
  directory.write(kSkeleton, "");
  EXPECT_EQ(error(), (directory / kSkeleton) + ": the file is empty. Check how it was written.");

  const Schema dense = schema_from_toml("dense = [\"price\"]", "schema.toml");
  ReaderOptions chosen = options();
  chosen.schema = &dense;
  directory.write(kSkeleton, "1,0,0,u,0,\n");
  EXPECT_THAT(error_of([&] { static_cast<void>(open_log(directory.path(), chosen)); }),
              HasSubstr("the schema has dense columns (\"price\")"));
}

TEST(AliCcpReader, SaysThatACompressedFileIsTruncatedAfterDeliveringTheRowsBefore) {
  const TemporaryDirectory directory;
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += fmt::format("{},0,0,{:x},0,\n", i, i * 77);
  const std::string packed = gzip(text);
  directory.write(std::string(kSkeleton) + ".gz", packed.substr(0, packed.size() - 100));
  directory.write(kCommon, "u,0,\n");
  for (const int threads : {1, 3}) {
    const auto log = open_ali_ccp_log(directory.path(), options(threads), 4096);
    std::uint64_t rows = 0;
    const auto sink = [&](ImpressionRows&& chunk) { rows += chunk.line.size(); };
    EXPECT_THAT(error_of([&] { log->read_impressions(sink); }),
                HasSubstr("sample_skeleton_train.csv.gz: truncated gzip data"));
    EXPECT_GT(rows, 10'000U);
  }
}

}  // namespace
}  // namespace esmm
