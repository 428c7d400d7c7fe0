// Every kind of bad input, through the program as users run it: the promised exit code, one line that names the place
// and the remedy, nothing left behind; and what --on-bad-row skip makes of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/run_program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

using test::ProgramResult;
using test::run_program;
using test::TemporaryDirectory;
using testing::HasSubstr;

/// Files of a log, one of which is bad. `path` is what the user names; `place` how the message names the line.
struct BadInput {
  std::string name, path;
  std::vector<std::pair<std::string, std::string>> files;
  std::string place, message;
  bool skippable = true;  // a bad row, not a bad file
};
void PrintTo(const BadInput& bad, std::ostream* out) {
  *out << bad.name;
}

const std::string kGoodSkeleton =
    "1,0,0,u1,1,205\x02"
    "7\x03"
    "1.0\n2,1,0,u1,1,205\x02"
    "8\x03"
    "1.0\n";
const std::string kGoodCommon =
    "u1,1,101\x02"
    "5\x03"
    "1.0\n";

BadInput skeleton(const std::string& name, const std::string& line, const std::string& message) {
  return {
      name,
      "log",
      {{"log/sample_skeleton_train.csv", kGoodSkeleton + line + "\n"}, {"log/common_features_train.csv", kGoodCommon}},
      "sample_skeleton_train.csv:3: ",
      message};
}
BadInput common(const std::string& name, const std::string& line, const std::string& message) {
  return {
      name,
      "log",
      {{"log/sample_skeleton_train.csv", kGoodSkeleton}, {"log/common_features_train.csv", kGoodCommon + line + "\n"}},
      "common_features_train.csv:2: ",
      message};
}
BadInput csv(const std::string& name, const std::string& line, const std::string& message) {
  return {name,
          "log.csv",
          {{"log.csv", "sample_id,click,conversion,item,price\na,1,1,7,0.5\nb,0,0,8,1.5\n" + line + "\n"}},
          "log.csv:4: ",
          message};
}
// The rows that the schema is guessed from are good; the bad one comes later.
BadInput late_csv(const std::string& name, const std::string& line, const std::string& message) {
  std::string log = "sample_id,click,conversion,item,price\n";
  for (int row = 0; row < 2000; ++row) log += "r,0,0,7,0.5\n";
  return {name, "log.csv", {{"log.csv", log + line + "\n"}}, "log.csv:2002: ", message};
}
BadInput text(const std::string& name, const std::string& line, const std::string& message) {
  return {
      name, "log.txt", {{"log.txt", "1,1,1,item:7,price:8:0.5\n2,0,0,item:9\n" + line + "\n"}}, "log.txt:3: ", message};
}
BadInput file(const std::string& name, const std::string& path, const std::string& content,
              const std::string& message) {
  return {name, path, {{path, content}}, path.substr(0, path.find('.')), message, false};
}

std::string truncated_gzip() {
  std::string plain = "click,conversion,item\n";
  for (int row = 0; row < 5000; ++row) plain += std::to_string(row % 2) + ",0," + std::to_string(row * 7919) + "\n";
  uLongf size = compressBound(plain.size()) + 64;
  std::string packed(size, '\0');
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(plain.data());
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out / 2);
  deflateEnd(&stream);
  return packed;
}

std::vector<BadInput> all() {
  return {
      skeleton("NoValueSeparator",
               "3,0,0,u1,1,205\x02"
               "70243",
               "\\x03"),
      skeleton("NoFieldSeparator",
               "3,0,0,u1,1,2057\x03"
               "1.0",
               "\\x02"),
      skeleton("NonNumericId",
               "3,0,0,u1,1,205\x02"
               "x7\x03"
               "1.0",
               "x7"),
      skeleton("IdOverflow",
               "3,0,0,u1,1,205\x02"
               "99999999999999999999\x03"
               "1.0",
               "99999999999999999999"),
      skeleton("NonNumericValue",
               "3,0,0,u1,1,205\x02"
               "7\x03"
               "abc",
               "abc"),
      skeleton("InfiniteValue",
               "3,0,0,u1,1,205\x02"
               "7\x03"
               "inf",
               "inf"),
      skeleton("LabelNotBinary",
               "3,2,0,u1,1,205\x02"
               "7\x03"
               "1.0",
               "click"),
      skeleton("ConversionNotBinary",
               "3,1,x,u1,1,205\x02"
               "7\x03"
               "1.0",
               "conversion"),
      skeleton("TooFewColumns", "3,0,0,u1", "columns"),
      skeleton("FeatureNumberWrong",
               "3,0,0,u1,2,205\x02"
               "7\x03"
               "1.0",
               "2"),
      skeleton("FeatureNumberNotANumber",
               "3,0,0,u1,one,205\x02"
               "7\x03"
               "1.0",
               "one"),
      skeleton("UnknownField",
               "3,0,0,u1,1,999\x02"
               "7\x03"
               "1.0",
               "999"),
      skeleton("CommonFieldInASampleRow",
               "3,0,0,u1,1,101\x02"
               "7\x03"
               "1.0",
               "101"),
      skeleton("UnknownCommonIndex",
               "3,0,0,u9,1,205\x02"
               "7\x03"
               "1.0",
               "common row"),
      common("DuplicateCommonIndex",
             "u1,1,101\x02"
             "6\x03"
             "1.0",
             "common row"),
      common("CommonRowWithoutFeatures", "u2", "columns"),
      common("CommonIdNotANumber",
             "u2,1,101\x02"
             "five\x03"
             "1.0",
             "five"),
      common("SampleFieldInACommonRow",
             "u2,1,205\x02"
             "6\x03"
             "1.0",
             "205"),
      csv("TooManyCells", "c,0,0,7,0.5,9", "5"),
      csv("TooFewCells", "c,0,0,7", "5"),
      csv("CsvLabelNotBinary", "c,yes,0,7,0.5", "yes"),
      csv("CsvLabelMissing", "c,,0,7,0.5", "click"),
      late_csv("DenseNotANumber", "c,0,0,7,cheap", "cheap"),
      csv("QuoteNotClosed", "c,0,0,\"7,0.5", "quote"),
      text("NoColon", "3,0,0,item7", "item7"),
      text("TextValueNotANumber", "3,0,0,item:7:x", "x"),
      text("TextLabelNotBinary", "3,-1,0,item:7", "-1"),
      text("TextLabelsMissing", "3", "3"),
      file("EmptyFile", "empty.csv", "", "empty"),
      file("HeaderOnly", "header.csv", "click,conversion,item\n", "no row"),
      file("NoClickColumn", "wrong.csv", "a,b,c\n1,2,3\n", "click"),
      file("LabelAmongFeatures", "leak.csv", "click,conversion,purchase,item\n1,0,0,7\n", "label"),
      file("DuplicateColumn", "twice.csv", "click,conversion,item,item\n1,0,7,8\n", "item"),
      file("TruncatedGzip", "cut.csv.gz", truncated_gzip(), "truncated"),
      file("BinaryFile", "binary.csv",
           std::string("\x7f"
                       "ELF\0\0\0\1",
                       8),
           "binary"),
  };
}

class BadInputTest : public testing::TestWithParam<BadInput> {
 protected:
  void SetUp() override {
    for (const auto& [name, content] : GetParam().files) directory_.write(name, content);
  }
  [[nodiscard]] ProgramResult convert(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments{"convert", "--data", GetParam().path, "--out", "packed", "--min-count", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments, test::Stdout::captured, directory_.path());
  }
  TemporaryDirectory directory_;
};
INSTANTIATE_TEST_SUITE_P(Kinds, BadInputTest, testing::ValuesIn(all()),
                         [](const auto& param) { return param.param.name; });

TEST_P(BadInputTest, EndsWithCode3AndOneLineNamingThePlaceAndLeavesNothingBehind) {
  const ProgramResult result = convert({});
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_THAT(result.err, HasSubstr(GetParam().place));
  EXPECT_THAT(result.err, HasSubstr(GetParam().message));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  const auto entries = std::distance(std::filesystem::directory_iterator(directory_.path()), {});
  EXPECT_EQ(entries, 1) << "only the log itself is there";
}

TEST_P(BadInputTest, IsCountedAndReportedUnderSkipIfItIsARow) {
  const ProgramResult result = convert({"--on-bad-row", "skip", "--json"});
  if (!GetParam().skippable) {
    EXPECT_EQ(result.exit_code, 3) << result.err;
    return;
  }
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto report = nlohmann::json::parse(result.out);
  EXPECT_THAT(report.dump(), HasSubstr("\"bad_rows\"")) << report.dump(2);
  EXPECT_THAT(result.err, HasSubstr("bad row"));
}

TEST(BadInput, OfAtLeast25KindsIsTested) {
  EXPECT_GE(all().size(), 25U);
}

TEST(BadInput, AMissingFileIsAnInputOutputError) {
  const TemporaryDirectory directory;
  const ProgramResult result =
      run_program({"train", "--data", directory / "nowhere.csv"}, test::Stdout::captured, directory.path());
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_THAT(result.err, HasSubstr("nowhere.csv"));
}

}  // namespace
}  // namespace esmm
