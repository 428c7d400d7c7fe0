// The built program, run as users run it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/config.hpp"
#include "engine/score_curves.hpp"
#include "tests/support/csv_log.hpp"
#include "tests/support/roc_area.hpp"
#include "tests/support/run_program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::csv_log;
using test::ProgramResult;
using test::run_program;
using test::Stdout;
using test::TemporaryDirectory;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

const std::vector<std::string> kCommands{"synth",   "convert", "inspect", "train",      "eval",
                                         "predict", "report",  "export",  "completion", "man"};

/// Exit code and the one line on stderr.
void expect_error(const ProgramResult& result, int exit_code, const std::string& part) {
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, StartsWith("esmm_gpu: "));
  EXPECT_THAT(result.err, HasSubstr(part));
  EXPECT_THAT(result.err, EndsWith("\n"));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << "an error is one line: " << result.err;
}

// ---- Usage ----------------------------------------------------------------------------------------------------------

struct BadUsage {
  std::vector<std::string> arguments;
  int exit_code;
  const char* message;
};
void PrintTo(const BadUsage& bad, std::ostream* out) {
  *out << bad.message;
}
class CommandLineErrors : public testing::TestWithParam<BadUsage> {};

TEST_P(CommandLineErrors, AreOneLineWithTheRightExitCode) {
  const TemporaryDirectory directory;
  expect_error(run_program(GetParam().arguments, Stdout::captured, directory.path()), GetParam().exit_code,
               GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Usage, CommandLineErrors,
    testing::Values(
        BadUsage{{}, 2, "no command. Give one of synth, convert"},
        BadUsage{{"trian"}, 2, "no such command: trian. Did you mean \"train\"?"},
        BadUsage{{"--verbose"}, 2, "no such command: --verbose"},
        BadUsage{{"train"}, 2, "train: --data is needed. Give a packed dataset"},
        BadUsage{{"train", "--dta", "x"}, 2, "no such flag: --dta. Did you mean \"--data\"?"},
        BadUsage{{"train", "--batch_size=5", "--data", "x"},
                 2,
                 "no such flag: --batch_size. Did you mean \"--batch-size\"?"},
        BadUsage{{"train", "--qqqqqqqq"}, 2, "no such flag: --qqqqqqqq. See esmm_gpu train --help"},
        BadUsage{{"train", "x"}, 2, "unexpected argument \"x\""},
        BadUsage{{"train", "--data", "x", "eval"}, 2, "unexpected argument \"eval\""},
        BadUsage{{"train", "--data", "x", "--lr"}, 2, "--lr: give it once, with one value"},
        BadUsage{{"train", "--data", "x", "--data", "y"}, 2, "--data: give it once"},
        BadUsage{{"train", "--data", "x", "--lr", "fast"}, 2, "--lr: \"fast\" is not a number"},
        BadUsage{{"train", "--data", "x", "--lr", "-1"}, 2, "--lr: -1 is not above 0"},
        BadUsage{{"train", "--data", "x", "--model", "mmoe"}, 2, "--model: there is no \"mmoe\". Choose base|aman|"},
        BadUsage{{"train", "--data", "x", "--device", "gpu"}, 2, "Choose auto, cpu, cuda or cuda:N"},
        BadUsage{{"train", "--data", "x", "--device", "cuda:998"}, 4, "--device cuda:998: "},
        BadUsage{{"predict", "--device", "cuda:999"}, 4, "--device cuda:999: "},
        BadUsage{{"train", "--data", "x", "--config", "none.toml"}, 5, "none.toml"},
        BadUsage{{"train", "--resume", "none"}, 2, "--resume none: there is no config.toml in it"},
        BadUsage{{"train", "--data", "none.csv"}, 5, "none.csv"}, BadUsage{{"synth"}, 2, "synth: --out is needed"},
        BadUsage{{"synth", "--out", "x", "--rows", "-5"}, 2, "--rows: \"-5\" is not a whole number from 0"},
        BadUsage{{"synth", "--out", "x", "--profile", "large"}, 2, "Choose small|ali-ccp"},
        BadUsage{{"synth", "--out", "x", "--selection-bias", "2"}, 2, "the selection bias is 2"},
        BadUsage{
            {"synth", "--out", "x", "--selection-bias", "strong"}, 2, "--selection-bias: \"strong\" is not a number"},
        BadUsage{{"synth", "--out", "x", "--click-rate", "0"}, 2, "the click rate is 0. Give a number between 0 and 1"},
        BadUsage{{"synth", "--out", "x", "--conversion-rate", "1"}, 2, "the conversion rate is 1. Give a number"},
        BadUsage{{"convert", "--out", "x"}, 2, "convert: --data is needed"},
        BadUsage{{"convert", "--data", "none.csv"}, 2, "convert: --out is needed"},
        BadUsage{{"convert", "--data", "none.csv", "--out", "x"}, 5, "none.csv"},
        BadUsage{{"convert", "--data", "x", "--out", "y", "--lr", "1"}, 2, "convert: no such flag: --lr"},
        BadUsage{{"convert", "--data", "x", "--out", "y", "--encoding", "hsh"}, 2, "Choose vocab|hash"},
        BadUsage{{"inspect"}, 2, "inspect: path is needed"}, BadUsage{{"inspect", "none"}, 5, "none"},
        BadUsage{{"inspect", "a", "b"}, 2, "unexpected argument \"b\""}, BadUsage{{"eval"}, 2, "eval: --run is needed"},
        BadUsage{{"eval", "--run", "none", "--data", "x"}, 2, "none"},
        BadUsage{{"predict", "--run", "none", "--data", "x"}, 2, "predict: --out is needed"},
        BadUsage{{"report"}, 2, "report: run is needed. Give the directory of a run"},
        BadUsage{{"report", "none"}, 2, "none: no run here"},
        BadUsage{{"export", "--run", "x", "--format", "onnx"}, 2, "export: --out is needed. Give the file to write"},
        BadUsage{{"export", "--run", "x", "--out", "y", "--format", "tf"}, 2, "Choose onnx|triton"}));

TEST(CommandLine, EveryCommandHasHelpAndVersion) {
  for (const std::string& command : kCommands) {
    const ProgramResult help = run_program({command, "--help"});
    EXPECT_EQ(help.exit_code, 0) << command;
    EXPECT_THAT(help.err, IsEmpty()) << command;
    for (const char* flag : {"--device", "--threads", "--seed", "--precision", "--log-level", "--help", "--version"}) {
      EXPECT_THAT(help.out, HasSubstr(flag)) << command;
    }
    EXPECT_EQ(run_program({command, "--version"}).exit_code, 0) << command;
  }
}

TEST(CommandLine, HelpOfTheProgramListsTheCommandsAndThatOfTrainEveryOption) {
  const ProgramResult program = run_program({"--help"});
  EXPECT_EQ(program.exit_code, 0);
  for (const std::string& command : kCommands) EXPECT_THAT(program.out, HasSubstr("  " + command + " "));
  const std::string train = run_program({"train", "--help"}).out;
  for (const OptionInfo& info : describe_options()) {
    EXPECT_THAT(train, HasSubstr("--" + info.flag));
    EXPECT_THAT(train, HasSubstr(info.help));
    EXPECT_THAT(train, HasSubstr("\n" + info.group + ":\n"));
  }
}

TEST(CommandLine, VersionIsOneLine) {
  const ProgramResult result = run_program({"--version"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, testing::MatchesRegex("esmm_gpu [0-9]+\\.[0-9]+\\.[0-9]+ \\((no Parquet|Parquet: .+)\\)\n"));
}

TEST(CommandLine, ClosedPipeIsNoErrorAndAFullDiskIs) {
  EXPECT_EQ(run_program({"train", "--help"}, Stdout::closed_pipe).exit_code, 0);
  const ProgramResult full = run_program({"train", "--help"}, Stdout::full_disk);
  EXPECT_EQ(full.exit_code, 5);
  EXPECT_THAT(full.err, HasSubstr("stdout: No space left on device"));
}

// ---- convert and inspect --------------------------------------------------------------------------------------------

class Program : public testing::Test {
 protected:
  /// Runs in the test's directory and expects success.
  ProgramResult run(const std::vector<std::string>& arguments) const {
    ProgramResult result = run_program(arguments, Stdout::captured, directory_.path());
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result;
  }
  ProgramResult run_to_fail(const std::vector<std::string>& arguments) const {
    return run_program(arguments, Stdout::captured, directory_.path());
  }
  TemporaryDirectory directory_;
};

TEST_F(Program, ConvertReportsWhatItPackedAndInspectSaysTheSame) {
  directory_.write("log.csv", csv_log(500));
  const ProgramResult converted = run({"convert", "--data", "log.csv", "--out", "packed", "--min-count", "1"});
  EXPECT_THAT(converted.out, StartsWith("# Guessed schema"));
  EXPECT_THAT(converted.out, HasSubstr("conversion = 'purchase'"));
  EXPECT_THAT(converted.out, HasSubstr("impressions     500\n"));
  EXPECT_THAT(converted.out, HasSubstr("MB/s"));

  const json inspected = json::parse(run({"inspect", "packed", "--json"}).out);
  EXPECT_EQ(inspected["impressions"], 500);
  EXPECT_EQ(inspected["leaks"], json::array());
  EXPECT_EQ(inspected["dense"][0]["name"], "price");
  const json& item = inspected["fields"][1];
  EXPECT_EQ(item["name"], "item");
  EXPECT_EQ(item["distinct"], 20);
  EXPECT_EQ(item["ids_per_row"], 1.0);
  const std::string table = run({"inspect", "packed"}).out;
  EXPECT_THAT(converted.out, HasSubstr(table)) << "both print the same table";
  EXPECT_THAT(run({"inspect", "packed/vocab"}).out, HasSubstr("item"));
}

TEST_F(Program, ConvertJsonIsOneDocument) {
  directory_.write("log.csv", csv_log(200));
  const json report =
      json::parse(run({"convert", "--data", "log.csv", "--out", "packed", "--json"}).out)["datasets"][0];
  EXPECT_EQ(report["impressions"], 200);
  EXPECT_EQ(report["path"], "packed");
  EXPECT_GT(report["seconds"], 0.0);
  EXPECT_THAT(report["schema"].get<std::string>(), HasSubstr("purchase"));
}

TEST_F(Program, SynthTrainAndEvalAlsoPrintTheirResultAsOneJsonDocument) {
  const json made = json::parse(run({"synth", "--out", "log", "--rows", "400", "--json"}).out);
  EXPECT_EQ(made["path"], "log");
  EXPECT_EQ(made["impressions"], 800);
  for (const char* key : {"common_rows", "clicks", "conversions", "text_bytes", "seconds"}) {
    EXPECT_TRUE(made[key].is_number()) << key;
  }
  json trained =
      json::parse(run({"train", "--data", "log", "--out", "run", "--dim", "2", "--hidden", "2", "--json"}).out);
  EXPECT_EQ(trained["run"], "run");
  trained.erase("run");
  EXPECT_EQ(trained, json::parse(test::read_bytes(directory_ / "run/summary.json")));
  const json evaluated = json::parse(run({"eval", "--run", "run", "--data", "log", "--json"}).out);
  EXPECT_EQ(evaluated, trained["metrics"]["valid"]);
  const json resumed = json::parse(run({"train", "--resume", "run", "--epochs", "2", "--json"}).out);
  EXPECT_EQ(resumed["epochs"], 2);
}

TEST_F(Program, ConvertRefusesADirectoryThatExistsAndDataThatIsPacked) {
  directory_.write("log.csv", csv_log(50));
  run({"convert", "--data", "log.csv", "--out", "packed"});
  expect_error(run_to_fail({"convert", "--data", "log.csv", "--out", "packed"}), 2, "--out packed: exists already");
  expect_error(run_to_fail({"convert", "--data", "packed", "--out", "other"}), 2, "--data packed: is packed already");
  expect_error(run_to_fail({"inspect", "log.csv"}), 2, "esmm_gpu convert --data log.csv");
}

TEST_F(Program, BadRowsStopConvertOrAreCountedByKind) {
  directory_.write("log.csv", "click,conversion,item\n1,0,5\n1,2,5\n0,0\n0,1,6\n0,0,6\n");
  expect_error(run_to_fail({"convert", "--data", "log.csv", "--out", "packed"}), 3, "log.csv:3");
  EXPECT_FALSE(fs::exists(directory_ / "packed")) << "nothing half-written under a good name";
  const ProgramResult skipped =
      run({"convert", "--data", "log.csv", "--out", "packed", "--on-bad-row", "skip", "--json"});
  const json report = json::parse(skipped.out)["datasets"][0];
  EXPECT_EQ(report["impressions"], 2) << "two bad rows, one contradiction dropped";
  EXPECT_EQ(report["bad_rows"]["label"], 1);
  EXPECT_EQ(report["bad_rows"]["field_count"], 1);
  EXPECT_EQ(report["contradictions"], 1);
  EXPECT_EQ(report["contradictions_dropped"], 1);
}

TEST_F(Program, InspectWarnsOfLeaksAndOfContradictionsThatWereKept) {
  directory_.write("log.csv", csv_log(800, /*leaky=*/true) + "0,1,1,1,1.5,8,0.5\n");
  run({"convert", "--data", "log.csv", "--out", "packed", "--on-contradiction", "keep"});
  const ProgramResult inspected = run({"inspect", "packed", "--json"});
  EXPECT_THAT(inspected.err, HasSubstr("warning: packed: feature click_copy alone tells the click"));
  EXPECT_THAT(inspected.err, HasSubstr("feature price_paid alone tells the conversion"));
  EXPECT_THAT(inspected.err, HasSubstr("1 impressions convert without a click"));
  EXPECT_EQ(json::parse(inspected.out)["leaks"].size(), 2U);
  const ProgramResult trained = run({"train", "--data", "packed", "--out", "run", "--min-count", "1"});
  EXPECT_THAT(trained.err, HasSubstr("packed: feature click_copy alone tells the click"));
  EXPECT_THAT(trained.err, HasSubstr("feature price_paid alone tells the conversion"));
  EXPECT_THAT(trained.err, HasSubstr("1 impressions convert without a click"));
}

TEST_F(Program, SynthAndConvertMakeBothHalvesWithOneVocabulary) {
  const ProgramResult made = run({"synth", "--out", "log", "--rows", "400", "--seed", "3"});
  EXPECT_THAT(made.out, EndsWith("next: esmm_gpu train --data log\n"));
  run({"convert", "--data", "log", "--out", "packed"});
  const json halves = json::parse(run({"inspect", "packed", "--json"}).out)["datasets"];
  ASSERT_EQ(halves.size(), 2U);
  EXPECT_EQ(halves[0]["path"], "packed/train");
  EXPECT_EQ(halves[1]["path"], "packed/test");
  EXPECT_EQ(halves[0]["vocabulary"], halves[1]["vocabulary"]);

  // A directory with only the test half, with the vocabulary of a packed dataset.
  fs::create_directory(directory_ / "later");
  for (const std::string file : {"sample_skeleton_test.csv", "common_features_test.csv"}) {
    fs::copy(directory_ / ("log/" + file), directory_ / ("later/" + file));
  }
  run({"convert", "--data", "later", "--out", "alone", "--vocab", "packed/train"});
  const json alone = json::parse(run({"inspect", "alone", "--json"}).out);
  EXPECT_EQ(alone["vocabulary"], halves[0]["vocabulary"]);
  EXPECT_EQ(alone["impressions"], halves[1]["impressions"]);
}

TEST_F(Program, SynthMakesTheWorldThatItsFlagsDescribe) {
  const std::vector<std::string> world{"synth", "--rows", "2000", "--click-rate", "0.5", "--conversion-rate", "0.4"};
  const auto made = [&](const std::string& out, const std::string& bias) {
    std::vector<std::string> arguments = world;
    arguments.insert(arguments.end(), {"--out", out, "--selection-bias", bias});
    run(arguments);
    double selected = 0, clicks = 0, all = 0, rows = 0;  // sums of pcvr over clicked and over all impressions
    std::ifstream skeleton(directory_ / (out + "/sample_skeleton_train.csv"));
    std::ifstream truth(directory_ / (out + "/truth_train.csv"));
    std::string impression, probabilities;
    for (std::getline(truth, probabilities); std::getline(skeleton, impression); ++rows) {
      std::getline(truth, probabilities);
      const double pcvr = std::stod(probabilities.substr(probabilities.find(',', probabilities.find(',') + 1) + 1));
      const bool click = impression[impression.find(',') + 1] == '1';
      all += pcvr;
      clicks += click ? 1 : 0;
      selected += click ? pcvr : 0;
    }
    EXPECT_EQ(rows, 2000);
    EXPECT_NEAR(clicks / rows, 0.5, 0.05) << "4.5 standard errors of a coin thrown 2000 times";
    EXPECT_NEAR(selected / clicks, 0.4, 0.05) << "pcvr varies by 0.24; more than 4.5 standard errors of 1000 clicks";
    return selected / clicks - all / rows;
  };
  EXPECT_GT(made("positive", "0.9"), 0.05);
  EXPECT_LT(made("negative", "-0.9"), -0.05);
}

TEST_F(Program, InspectOfACorruptBlockIsADataError) {
  directory_.write("log.csv", csv_log(500));
  run({"convert", "--data", "log.csv", "--out", "packed"});
  std::string blocks = test::read_bytes(directory_ / "packed/blocks.bin");
  blocks[blocks.size() / 2] = static_cast<char>(blocks[blocks.size() / 2] ^ 1);
  test::write_bytes(directory_ / "packed/blocks.bin", blocks);
  expect_error(run_to_fail({"inspect", "packed"}), 3, "blocks.bin");
}

// ---- train: what the command line decides ---------------------------------------------------------------------------

TEST_F(Program, RunKeepsTheConfigurationThatFlagsFileAndPresetGive) {
  directory_.write("log.csv", csv_log(300));
  directory_.write("c.toml", "preset = \"paper\"\ndim = 6\nlr = 0.5\nhidden = [4]\n");
  run({"train", "--data", "log.csv", "--config", "c.toml", "--out", "run", "--lr", "0.01", "--threads", "1"});
  Config config;
  apply_toml(config, test::read_bytes(directory_ / "run/config.toml"), "config.toml");
  EXPECT_EQ(config.activation, Activation::relu) << "from the preset";
  EXPECT_EQ(config.dim, 6) << "from the file";
  EXPECT_EQ(config.lr, 0.01F) << "from the flag";
  EXPECT_THAT(run({"inspect", "run"}).out, HasSubstr("ctcvr_auc"));
  const json inspected = json::parse(run({"inspect", "run", "--json"}).out);
  EXPECT_EQ(inspected["summary"]["epochs"], 1);
  EXPECT_FALSE(inspected["checkpoints"].empty());
}

TEST_F(Program, SecondRunReusesThePackedCopy) {
  directory_.write("log.csv", csv_log(300));
  const std::vector<std::string> small{"--data", "log.csv", "--dim", "2", "--hidden", "2", "--threads", "1"};
  const auto train = [&](const char* out) {
    std::vector<std::string> arguments{"train", "--out", out};
    arguments.insert(arguments.end(), small.begin(), small.end());
    return run(arguments).err;
  };
  EXPECT_THAT(train("one"), HasSubstr("info: packing "));
  const std::string second = train("two");
  EXPECT_THAT(second, HasSubstr("info: reusing"));
  EXPECT_THAT(second, Not(HasSubstr("info: packing")));
}

TEST_F(Program, SeveralThatPackTheSameAtOnceAllSucceed) {
  directory_.write("log.csv", csv_log(3000));
  {
    std::vector<std::jthread> runs;
    for (const char* out : {"a", "b", "c", "d"}) {
      runs.emplace_back([&, out] {
        run({"train", "--data", "log.csv", "--out", out, "--dim", "2", "--hidden", "2", "--threads", "1"});
      });
    }
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_ / ".packed"), {}), 1)
      << "one copy, and no half-written directory stays behind";
}

TEST_F(Program, ResumeTakesOnlyWhatMayChange) {
  directory_.write("log.csv", csv_log(300));
  run({"train", "--data", "log.csv", "--out", "run", "--dim", "2", "--hidden", "2", "--threads", "1"});
  run({"train", "--resume", "run", "--epochs", "2", "--threads", "1", "--device", "cpu", "--log-level", "warn"});
  run({"train", "--resume", "run", "--epochs", "3", "--out", directory_ / "run", "--data", "./log.csv"});
  EXPECT_EQ(json::parse(test::read_bytes(directory_ / "run/summary.json"))["epochs"], 3);
  expect_error(run_to_fail({"train", "--resume", "run", "--lr", "0.1"}), 2, "--lr: cannot change with --resume");
  expect_error(run_to_fail({"train", "--resume", "run", "--out", "other"}), 2, "--out: cannot change with --resume");
  expect_error(run_to_fail({"train", "--resume", "run", "--data", "x"}), 2, "--data: cannot change with --resume");
  expect_error(run_to_fail({"train", "--resume", "run", "--config", "c"}), 2,
               "--config: cannot be given with --resume");
}

TEST_F(Program, ResumeBeginsAnewWithoutACheckpointAndRefusesWhenNoneIsWhole) {
  directory_.write("log.csv", csv_log(300));
  run({"train", "--data", "log.csv", "--out", "run", "--dim", "2", "--hidden", "2", "--threads", "1"});
  const std::string model = test::read_bytes(directory_ / "run/model.safetensors");
  fs::remove_all(directory_ / "run/checkpoints");
  fs::create_directory(directory_ / "run/checkpoints");  // as the set-up leaves it
  test::write_bytes(directory_ / "run/model.safetensors", "");
  EXPECT_THAT(run({"train", "--resume", "run"}).err, HasSubstr("no checkpoint was written yet"));
  EXPECT_TRUE(test::read_bytes(directory_ / "run/model.safetensors") == model);
  for (const auto& checkpoint : fs::directory_iterator(directory_ / "run/checkpoints")) {
    fs::resize_file(checkpoint.path(), 100);
  }
  const ProgramResult refused = run_to_fail({"train", "--resume", "run"});
  EXPECT_EQ(refused.exit_code, 3);
  EXPECT_THAT(refused.err, HasSubstr("none of its 1 checkpoints is whole"));
}

TEST_F(Program, TrainEvalAndReportLeaveAPageWhoseRocsAreThoseOfTheAucs) {
  directory_.write("log.csv", csv_log(3000));
  run({"train", "--data", "log.csv", "--valid", "log.csv", "--out", "run", "--dim", "2", "--hidden", "2",
       "--batch-size", "200", "--lr", "0.05", "--log-every", "5", "--threads", "1"});
  const std::string first = test::read_bytes(directory_ / "run/report.html");
  EXPECT_THAT(first, HasSubstr("<h1>run</h1>"));
  const json metrics = json::parse(test::read_bytes(directory_ / "run/summary.json"))["metrics"];
  const auto curves = nlohmann::ordered_json::parse(test::read_bytes(directory_ / "run/curves.json"));
  for (const std::string split : {"train", "valid"}) {
    const std::vector<ScoreCurve> three = curves_from_json(curves[split], "curves.json");
    ASSERT_EQ(three.size(), 3U);
    for (const ScoreCurve& curve : three) {
      const test::RocArea area = test::roc_area(curve.roc);
      EXPECT_NEAR(area.area, metrics[split][curve.target + "_auc"].get<double>(), area.error + 1e-12) << curve.target;
      EXPECT_LT(area.error, 0.05) << "or the bins are too coarse to say anything";
    }
  }
  EXPECT_EQ(run({"report", "run"}).out, "wrote run/report.html\n");
  EXPECT_EQ(test::read_bytes(directory_ / "run/report.html"), first) << "the same run, the same bytes";

  run({"eval", "--run", "run", "--data", "log.csv"});
  run({"report", "run"});
  EXPECT_THAT(test::read_bytes(directory_ / "run/report.html"), HasSubstr("<h2>Evaluations</h2>"));
  expect_error(run_to_fail({"report", "run", "run"}), 2, "--out is needed to compare 2 runs");
  EXPECT_EQ(run({"report", "run", "run", "--out", "both.html"}).out, "wrote both.html\n");
  EXPECT_THAT(test::read_bytes(directory_ / "both.html"), HasSubstr("<h1>2 runs</h1>"));
  expect_error(run_to_fail({"report", "run", "--out", "none/here.html"}), 5, "none/here.html");
  directory_.write("run/summary.json", "{");
  expect_error(run_to_fail({"report", "run"}), 3, "run/summary.json: is not a JSON object");
}

TEST_F(Program, DataPackedWithAnotherVocabularyIsExit3) {
  directory_.write("log.csv", csv_log(300));
  directory_.write("other.csv", csv_log(200));
  run({"train", "--data", "log.csv", "--out", "run", "--dim", "2", "--hidden", "2", "--threads", "1"});
  run({"convert", "--data", "other.csv", "--out", "other"});
  expect_error(run_to_fail({"eval", "--run", "run", "--data", "other"}), 3, "was packed with vocabulary");
  run({"convert", "--data", "other.csv", "--out", "fitting", "--vocab", "run"});
  EXPECT_THAT(run({"eval", "--run", "run", "--data", "fitting"}).out, HasSubstr("ctcvr_auc"));
}

}  // namespace
}  // namespace esmm
