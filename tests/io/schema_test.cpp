#include "io/schema.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/messages.hpp"
#include "io/rows.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string message_of(const std::function<void()>& action, ExitCode expected) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), expected) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no Error was thrown";
  return {};
}

constexpr const char* kExample = R"(# an example
click = "clicked"
conversion = "bought"
sample_id = "id"
common_key = "user"
sample = ["item", "shop"]
common = ["user", "history"]
dense = ["price"]
ignore = ["comment"]
[tables]
history = "item"
)";

TEST(Schema, OfAliCcpHasTenSampleAndThirteenCommonFieldsEachWithItsOwnTable) {
  const Schema schema = ali_ccp_schema();
  EXPECT_EQ(schema.count(Side::sample), 10);
  EXPECT_EQ(schema.count(Side::common), 13);
  EXPECT_EQ(schema.side(Side::common)[1].name, "109_14");
  EXPECT_EQ(schema.tables().size(), 23U);
  EXPECT_EQ(schema.find("301"), 9);
  EXPECT_EQ(schema.find("302"), -1);
}

TEST(Schema, IsReadFromToml) {
  const Schema schema = schema_from_toml(kExample, "example.toml");
  EXPECT_EQ(schema.click, "clicked");
  EXPECT_EQ(schema.conversion, "bought");
  EXPECT_EQ(schema.sample_id, "id");
  EXPECT_EQ(schema.common_key, "user");
  EXPECT_THAT(schema.fields, ElementsAre(Field{"item", Side::sample, "item"}, Field{"shop", Side::sample, "shop"},
                                         Field{"user", Side::common, "user"}, Field{"history", Side::common, "item"}));
  EXPECT_THAT(schema.tables(), ElementsAre("item", "shop", "user"));
  EXPECT_THAT(schema.dense, ElementsAre("price"));
  EXPECT_THAT(schema.ignore, ElementsAre("comment"));
}

TEST(Schema, SurvivesWritingAndReading) {
  Schema odd = schema_from_toml(kExample, "example.toml");
  odd.fields[0].name = "with \"quotes\", \\ and ümlaut";
  odd.dense.emplace_back("tab\there");
  for (const Schema& schema : {odd, ali_ccp_schema()}) {
    EXPECT_EQ(schema_from_toml(schema_to_toml(schema), "written.toml"), schema) << schema_to_toml(schema);
  }
}

struct BadSchema {
  const char* text;
  const char* message;
};
class BadSchemas : public ::testing::TestWithParam<BadSchema> {};

TEST_P(BadSchemas, AreRefusedNamingFileLineAndRemedy) {
  const std::string message =
      message_of([] { static_cast<void>(schema_from_toml(GetParam().text, "s.toml")); }, ExitCode::usage);
  EXPECT_THAT(message, HasSubstr(GetParam().message));
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Each, BadSchemas,
    ::testing::Values(
        BadSchema{"sample = [\"a\"]\nclick = ", "s.toml:2: not valid TOML"},
        BadSchema{"\nsamples = [\"a\"]", "s.toml:2: unknown key \"samples\". Did you mean \"sample\"?"},
        BadSchema{"comon_key = \"u\"", "s.toml:1: unknown key \"comon_key\". Did you mean \"common_key\"?"},
        BadSchema{"label = \"c\"",
                  "s.toml:1: unknown key \"label\". The keys of a schema are click, conversion, sample_id, "
                  "common_key, sample, common, dense, ignore and the table [tables]."},
        BadSchema{"sample = \"a\"", "s.toml:1: sample must be a list of column names"},
        BadSchema{"sample = [\"a\", 205]", "s.toml:1: sample must be a name in quotes"},
        BadSchema{"click = 1", "s.toml:1: click must be a name in quotes"},
        BadSchema{"sample = [\"a\"]\ndense = [\"a\"]", "s.toml:2: column \"a\" is named twice"},
        BadSchema{"sample = [\"a\"]\n[tables]\nb = \"a\"",
                  "s.toml:3: [tables] names \"b\", which is neither in sample nor in common. Add it there."},
        BadSchema{"sample = [\"item\"]\n[tables]\nitme = \"a\"",
                  "s.toml:3: [tables] names \"itme\", which is neither in sample nor in common. Did you mean "
                  "\"item\"?"},
        BadSchema{"sample = [\"a\"]\ntables = 3", "s.toml:2: tables must be a table"},
        BadSchema{"click = \"c\"", "s.toml: the schema names no features"}));

TEST(Schema, ThatIsMissingIsAnIoErrorWithTheSystemsMessage) {
  EXPECT_THAT(message_of([] { static_cast<void>(load_schema("/nonexistent/s.toml")); }, ExitCode::io),
              HasSubstr("/nonexistent/s.toml: cannot read the schema: No such file or directory"));
}

TEST(FeatureId, IsTheNumberItselfOrElseAHashWithTheTopBit) {
  constexpr std::uint64_t top = 1ULL << 63;
  EXPECT_EQ(feature_id("0"), 0U);
  EXPECT_EQ(feature_id("4294967295"), 4294967295U);
  EXPECT_EQ(feature_id("4294967296"), 4294967296U);
  EXPECT_EQ(feature_id("9223372036854775807"), top - 1);
  for (const char* text : {"9223372036854775808", "99999999999999999999", "007", "-1", "+1", "1.5", "1 ", "red", ""}) {
    EXPECT_GE(feature_id(text), top) << text;
  }
  EXPECT_NE(feature_id("red"), feature_id("green"));
  EXPECT_NE(feature_id("007"), feature_id("07"));
}

TEST(CommonKey, IsEqualOnlyForEqualText) {
  EXPECT_EQ(common_key("abc"), common_key("abc"));
  EXPECT_NE(common_key("abc"), common_key("abd"));
}

TEST(Quoted, EscapesWhatIsUnprintableOrNotUtf8AndCutsLongTextsBetweenCharacters) {
  EXPECT_EQ(in_quotes("210\x02"
                      "43\t\x7F"),
            R"("210\x0243\x09\x7f")");
  EXPECT_EQ(in_quotes("größe 价格"), "\"größe 价格\"");
  EXPECT_EQ(in_quotes("\xFF\xC3("), R"("\xff\xc3(")");
  EXPECT_EQ(in_quotes("\xE4\xBB"), R"("\xe4\xbb")");
  EXPECT_EQ(in_quotes(std::string(59, 'x') + "é and more"), "\"" + std::string(59, 'x') + "é…\"");
}

TEST(Nearest, FindsMisspellingsAndLeavesOtherWordsAlone) {
  const std::vector<std::string> names{"batch_size", "beta1", "beta2", "lr"};
  EXPECT_EQ(nearest("bach_size", names), "batch_size");
  EXPECT_EQ(nearest("beta3", names), "beta1");
  EXPECT_EQ(nearest("momentum", names), "");
  EXPECT_EQ(nearest("b", {"a"}), "") << "nothing of it is the same";
  EXPECT_EQ(did_you_mean("bach_size", names, "See the list."), "Did you mean \"batch_size\"?");
  EXPECT_EQ(did_you_mean("tab\there", {"tab\tthere"}, ""), "Did you mean \"tab\\x09there\"?")
      << "names may be anything";
  EXPECT_EQ(did_you_mean("momentum", names, "See the list."), "See the list.");
}

TEST(Listed, NamesTheFirstThirty) {
  EXPECT_EQ(listed({"a", "b"}), "\"a\", \"b\"");
  EXPECT_THAT(listed(std::vector<std::string>(37, "c")), HasSubstr("\"c\" and 7 more"));
}

TEST(BadRowKind, HasANameEach) {
  EXPECT_EQ(name(BadRowKind::field_count), "field_count");
  EXPECT_EQ(name(BadRowKind::duplicate_common), "duplicate_common");
}

}  // namespace
}  // namespace esmm
