#include "engine/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>

#include "engine/config_options.hpp"
#include "kernels/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

using test::TemporaryDirectory;
using testing::HasSubstr;

/// The message of the usage error that `action` throws; fails the test when it throws none.
template <class Action>
std::string usage_message(Action action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << "an error is one line";
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return {};
}

/// A Config in which every option differs from its default.
Config unlike_the_defaults() {
  Config config;
  for (const Option& option : options()) {
    const Choices names = option_choices(option);
    std::string text;
    switch (value_type(option)) {
      case ValueType::string:
        text = names.empty() ? "a \"quoted\"\\path\twith é" : std::string(names.back());
        if (text == get_option(config, option)) text = names.front();
        break;
      case ValueType::boolean:
        text = "true";
        break;
      case ValueType::integer:
        text = "77";
        break;
      case ValueType::number:
        text = "0.3";
        break;
      case ValueType::integers:
        text = "7,5,3";
        break;
    }
    set_option(config, option, text, "test");
  }
  config.fields["109_14"] = {.pooling = Pooling::mean, .transform = ValueTransform::log1p, .clip = 2.5F};
  config.fields["a \"name\""] = {.pooling = std::nullopt, .transform = std::nullopt, .clip = 1.0F};
  return config;
}

TEST(ConfigToml, GivesBackEveryOption) {
  const Config config = unlike_the_defaults();
  for (const Option& option : options()) {
    if (option_choices(option).size() == 1) continue;  // one choice can only be the default
    EXPECT_NE(get_option(config, option), get_option(Config{}, option)) << option.key << " was not changed";
  }
  Config read;
  apply_toml(read, to_toml(config), "config.toml");
  EXPECT_EQ(read, config) << to_toml(config);
}

TEST(ConfigToml, GivesBackTheDefaultsWithUnsetOptionals) {
  Config read;
  apply_toml(read, to_toml(Config{}), "config.toml");
  EXPECT_EQ(read, Config{});
  EXPECT_THAT(to_toml(Config{}), Not(HasSubstr("tower_lr")));
}

TEST(ConfigToml, GivesBackEveryFloatBitForBit) {
  std::mt19937 random(1);
  Config config;
  for (int i = 0; i < 2000; ++i) {
    const auto bits = static_cast<std::uint32_t>(random());
    std::memcpy(&config.lr, &bits, sizeof bits);
    if (!std::isfinite(config.lr)) continue;
    Config read;
    apply_toml(read, to_toml(config), "config.toml");
    ASSERT_EQ(std::memcmp(&read.lr, &config.lr, sizeof bits), 0) << to_toml(config);
  }
}

TEST(ConfigToml, ReadsTheTablesOfFields) {
  Config config;
  apply_toml(config, "[fields.\"109_14\"]\npooling = \"mean\"\ntransform = \"clipped\"\nclip = 5\n", "c.toml");
  const FieldConfig expected{.pooling = Pooling::mean, .transform = ValueTransform::clipped, .clip = 5.0F};
  EXPECT_EQ(config.fields.at("109_14"), expected);
}

struct BadToml {
  const char* text;
  const char* message;
};
void PrintTo(const BadToml& bad, std::ostream* out) {
  *out << bad.message;
}
class ConfigTomlErrors : public testing::TestWithParam<BadToml> {};

TEST_P(ConfigTomlErrors, NameFileLineAndRemedy) {
  Config config;
  EXPECT_THAT(usage_message([&] { apply_toml(config, GetParam().text, "c.toml"); }), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Files, ConfigTomlErrors,
    testing::Values(
        BadToml{"dim = 4\n\nbatchsize = 4096\n", "c.toml:3: batchsize: no such key. Did you mean \"batch_size\"?"},
        BadToml{"zzzzzzzz = 1\n", "c.toml:1: zzzzzzzz: no such key. See docs/cli.md"},
        BadToml{"batch_size = \"4096\"\n", "c.toml:1: batch_size: needs an integer, not a string."},
        BadToml{"batch_size = 1.5\n", "c.toml:1: batch_size: needs an integer, not a decimal number."},
        BadToml{"lr = true\n", "c.toml:1: lr: needs a number, not a boolean."},
        BadToml{"lr = nan\n", "c.toml:1: lr: \"nan\" is not a number"},
        BadToml{"min_count = -1\n", "c.toml:1: min_count: \"-1\" is not a whole number from 0"},
        BadToml{"min_count = 4294967296\n", "c.toml:1: min_count: 4294967296 is out of range"},
        BadToml{"hidden = 200\n", "c.toml:1: hidden: needs an array of integers, not an integer."},
        BadToml{"hidden = [200, 8.5]\n", "c.toml:1: hidden: needs an array of integers"},
        BadToml{"clip_tables = 1\n", "c.toml:1: clip_tables: needs true or false, not an integer."},
        BadToml{"optimizer = \"adamw\"\n", "c.toml:1: optimizer: there is no \"adamw\". Choose sgd|adagrad|"},
        BadToml{"dim = 4\n[training]\nlr = 1\n", "c.toml:2: training: no such key."},
        BadToml{"fields = 3\n", "c.toml:1: fields: needs a table"},
        BadToml{"[fields.a]\npoolin = \"sum\"\n", "c.toml:2: poolin: no such key. Did you mean \"pooling\"?"},
        BadToml{"[fields.a]\nclip = \"2\"\n", "c.toml:2: clip: needs a number, not a string."},
        BadToml{"dim = 4\nlr = = 2\n", "c.toml:2: not valid TOML"},
        BadToml{"dim = 4\ndim = 5\n", "c.toml:2: not valid"}));

TEST(ConfigPreset, PaperAndReleasedAreThePublishedSettings) {
  Config paper;
  paper.beta1 = 0.5F;
  apply_preset(paper, Preset::paper);
  EXPECT_EQ(paper.dim, 18);
  EXPECT_EQ(paper.hidden, (std::vector<std::int64_t>{200, 80}));
  EXPECT_EQ(paper.activation, Activation::relu);
  EXPECT_EQ(paper.optimizer, OptimizerKind::adam);
  EXPECT_EQ(paper.beta1, 0.9F);
  EXPECT_EQ(paper.beta2, 0.999F);
  EXPECT_EQ(paper.epsilon, 1e-8F);
  apply_preset(paper, Preset::released);
  paper.preset = Preset::none;
  EXPECT_EQ(paper, Config{}) << "the defaults are the released configuration";
}

TEST(ConfigPrecedence, FlagsWinOverTheFileAndTheFileOverThePreset) {
  const TemporaryDirectory directory;
  // The preset stands below the file's other keys, wherever in the file it is written.
  const std::string file = directory.write("c.toml", "dim = 32\nlr = 0.5\npreset = \"paper\"\nepochs = 3\n");
  const Config config = resolve_config(file, {{"lr", "0.25"}});
  EXPECT_EQ(config.activation, Activation::relu) << "from the preset";
  EXPECT_EQ(config.dim, 32) << "the file over the preset";
  EXPECT_EQ(config.epochs, 3) << "the file over the default";
  EXPECT_EQ(config.lr, 0.25F) << "the flag over the file";
}

TEST(ConfigPrecedence, PresetOfAFlagReplacesThatOfTheFileButNotItsKeys) {
  const TemporaryDirectory directory;
  const std::string file = directory.write("c.toml", "preset = \"released\"\nlr = 0.5\n");
  const Config config = resolve_config(file, {{"preset", "paper"}});
  EXPECT_EQ(config.preset, Preset::paper);
  EXPECT_EQ(config.dim, 18);
  EXPECT_EQ(config.lr, 0.5F);
  EXPECT_EQ(resolve_config(file, {{"dim", "7"}, {"preset", "paper"}}).dim, 7) << "whatever the order of the flags";
}

TEST(ConfigPrecedence, MissingFileIsAnIoError) {
  try {
    static_cast<void>(resolve_config("/nowhere/c.toml", {}));
    FAIL() << "no error was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::io);
    EXPECT_THAT(error.what(), HasSubstr("/nowhere/c.toml"));
  }
}

struct BadFlags {
  std::vector<FlagValue> flags;
  const char* message;
};
void PrintTo(const BadFlags& bad, std::ostream* out) {
  *out << bad.message;
}
class ConfigChecks : public testing::TestWithParam<BadFlags> {};

TEST_P(ConfigChecks, NameTheFlag) {
  EXPECT_THAT(usage_message([] { static_cast<void>(resolve_config({}, GetParam().flags)); }),
              HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Values, ConfigChecks,
    testing::Values(
        BadFlags{{{"min-count", "0"}}, "--min-count: 0 is too small"}, BadFlags{{{"buckets", "0"}}, "--buckets: 0"},
        BadFlags{{{"window-mb", "0"}}, "--window-mb: 0"}, BadFlags{{{"dim", "0"}}, "--dim: 0"},
        BadFlags{{{"hidden", "200,0"}}, "--hidden: 0"}, BadFlags{{{"hidden", ""}}, "--hidden: \"\" is not"},
        BadFlags{{{"hidden", "200,,80"}}, "--hidden: \"\" is not"},
        BadFlags{{{"dropout", "1"}}, "--dropout: 1 is not in"}, BadFlags{{{"dropout", "-0.1"}}, "--dropout: -0.1"},
        BadFlags{{{"value-clip", "0"}}, "--value-clip: 0"},
        BadFlags{{{"embedding-stddev", "-1"}}, "--embedding-stddev: -1"},
        BadFlags{{{"ctr-weight", "0"}, {"ctcvr-weight", "0"}}, "both 0"}, BadFlags{{{"epochs", "0"}}, "--epochs: 0"},
        BadFlags{{{"batch-size", "0"}}, "--batch-size: 0"}, BadFlags{{{"batch-size", "4k"}}, "--batch-size: \"4k\""},
        BadFlags{{{"batch-size", "99999999999999999999"}}, "out of range"}, BadFlags{{{"lr", "0"}}, "--lr: 0"},
        BadFlags{{{"lr", "inf"}}, "--lr: \"inf\""}, BadFlags{{{"lr", "1e99"}}, "--lr: 1e99 is out of the range"},
        BadFlags{{{"tower-lr", "-1"}}, "--tower-lr: -1"},
        BadFlags{{{"tower-optimizer", "rowwise_adagrad"}}, "rowwise_adagrad is for tables only"},
        BadFlags{{{"tower-optimizer", "ftrl"}}, "ftrl is for tables only"},
        BadFlags{{{"schedule", "step"}}, "--schedule-steps: 0"},
        BadFlags{{{"schedule-decay", "2"}}, "--schedule-decay"}, BadFlags{{{"beta1", "1"}}, "--beta1: 1"},
        BadFlags{{{"beta2", "1"}}, "--beta2: 1"}, BadFlags{{{"epsilon", "0"}}, "--epsilon: 0"},
        BadFlags{{{"ftrl-l1", "-1"}}, "--ftrl-l1: -1"}, BadFlags{{{"tower-l2", "-1"}}, "--tower-l2: -1"},
        BadFlags{{{"clip-tables", "true"}}, "needs --clip-norm"},
        BadFlags{{{"early-stopping", "auc"}}, "Choose ctr_auc|cvr_auc"}, BadFlags{{{"patience", "0"}}, "--patience: 0"},
        BadFlags{{{"log-every", "0"}}, "--log-every: 0"},
        BadFlags{{{"keep-checkpoints", "0"}}, "--keep-checkpoints: 0"},
        BadFlags{{{"device", "tpu"}}, "Choose auto, cpu, cuda or cuda:N"}, BadFlags{{{"device", "cuda:x"}}, "cuda:x"},
        BadFlags{{{"threads", "-1"}}, "--threads: -1"}, BadFlags{{{"threads", "5000"}}, "--threads: 5000"},
        BadFlags{{{"seed", "9223372036854775808"}}, "--seed: 9223372036854775808"},
        BadFlags{{{"log-level", "loud"}}, "--log-level: there is no \"loud\""},
        BadFlags{{{"no-such", "1"}}, "--no-such"}));

TEST(Config, TowersFollowTheTablesUnlessToldOtherwise) {
  EXPECT_EQ(tower_optimizer(resolve_config({}, {{"optimizer", "ftrl"}})), OptimizerKind::adagrad);
  EXPECT_EQ(tower_optimizer(resolve_config({}, {{"optimizer", "rowwise_adagrad"}})), OptimizerKind::adagrad);
  EXPECT_EQ(tower_optimizer(resolve_config({}, {{"tower-optimizer", "sgd"}})), OptimizerKind::sgd);
}

/// The row of docs/cli.md's table for one option.
std::string documentation_row(const OptionInfo& info) {
  std::string value;
  for (const char c : info.value) value += c == '|' ? std::string("\\|") : std::string(1, c);
  return "| `--" + info.flag + (value.empty() ? "" : " " + value) + "` | " + info.help + " |";
}

TEST(ConfigDocumentation, HasARowForEveryOption) {
  std::ifstream in(std::string(ESMM_SOURCE_DIR) + "/docs/cli.md");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  for (const OptionInfo& info : describe_options()) EXPECT_THAT(text, HasSubstr(documentation_row(info)));
}

}  // namespace
}  // namespace esmm
