#include "engine/cli/app.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <new>
#include <system_error>

#include "engine/cli/command.hpp"
#include "engine/cli/logging.hpp"
#include "engine/cli/result.hpp"
#include "engine/commands.hpp"
#include "engine/config_options.hpp"
#include "engine/device.hpp"
#include "io/messages.hpp"
#include "io/parquet.hpp"
#include "kernels/error.hpp"

namespace esmm {

namespace {

namespace fs = std::filesystem;

constexpr const char* kDataRemedy =
    "Give a packed dataset, an Ali-CCP directory, or a .csv, .tsv, .txt or .parquet log; esmm_gpu synth makes one.";
constexpr const char* kRunRemedy = "Give the directory of a run that esmm_gpu train made.";

/// Resolves the options of Config and puts those that every command shares into effect.
Config start(const std::vector<FlagValue>& flags, const std::string& file = {}) {
  Config config = resolve_config(file, flags);
  start_logging(config.log_level);
  check_device(config.device, config.precision);
  return config;
}

bool same_path(const std::string& a, const std::string& b) {
  return fs::weakly_canonical(a) == fs::weakly_canonical(b);
}

// ---- train ----------------------------------------------------------------------------------------------------------

void resume_training(const Command& command) {
  const std::string run = command.get("--resume");
  const std::string file = (fs::path(run) / "config.toml").string();
  if (!fs::exists(file)) {
    throw usage_error("--resume {}: there is no config.toml in it. {}", run, kRunRemedy);
  }
  if (command.given("--config")) throw usage_error("--config: cannot be given with --resume. The run has its own.");
  const Config saved = resolve_config(file, {});
  std::vector<FlagValue> changes;
  for (const FlagValue& given : command.config_values()) {
    const bool changeable =
        given.flag == "epochs" || given.flag == "device" || given.flag == "threads" || given.flag == "log-level";
    const bool repeated = (given.flag == "out" && same_path(given.value, run)) ||
                          (given.flag == "data" && same_path(given.value, saved.data));
    if (changeable) {
      changes.push_back(given);
    } else if (!repeated) {
      throw usage_error("--{}: cannot change with --resume, only --epochs, --device, --threads and --log-level can. {}",
                        given.flag, "Leave it out, or start a new run.");
    }
  }
  Config config = start(changes, file);
  config.out = run;
  train_command(config, run, command.json());
}

void train(const Command& command) {
  if (command.given("--resume")) return resume_training(command);
  const Config config = start(command.config_values(), command.get("--config"));
  if (config.data.empty()) throw usage_error("train: --data is needed. {}", kDataRemedy);
  train_command(config, {}, command.json());
}

void add_train(Command& command) {
  command.example("esmm_gpu train --data ali_ccp --out runs/first --epochs 3");
  command.example("esmm_gpu train --data log.csv --schema schema.toml --valid test.csv --early-stopping ctcvr_auc");
  command.example("esmm_gpu train --resume runs/first");
  command.flag("config", "FILE.toml", "read options from this file; flags win");
  command.flag("resume", "RUN", "continue this run from its last checkpoint");
  command.json_flag("summary.json, with the run's directory");
  command.all_config_flags();
  command.run = train;
}

// ---- The other commands ---------------------------------------------------------------------------------------------

void add_synth(Command& command) {
  command.example("esmm_gpu synth --out log --rows 200000");
  command.config_flag("out", "directory to write the log to", "DIR");
  command.flag("rows", "N", "impressions per half [100000]");
  command.flag("users", "N", "users (common rows) per half; else one per 58 impressions");
  command.flag("profile", joined(choices(SynthProfile{})),
               "click and conversion rates near 10 %, or the real ones [small]");
  command.flag("selection-bias", "X", "correlation of the click and conversion logits, from -1 to 1 [0.5]");
  command.flag("click-rate", "P", "clicks per impression; else the profile's");
  command.flag("conversion-rate", "P", "conversions per click; else the profile's");
  command.json_flag("the sizes");
  command.common_flags();
  command.run = [](const Command& given) {
    const Config config = start(given.config_values());
    SynthOptions options;
    options.out = given.require("--out", "Give the directory to create.");
    options.seed = config.seed;
    options.threads = config.threads;
    const auto set = [&given](const std::string& flag, auto& member) {
      if (given.given(flag)) parse_value(given.get(flag), flag, member);
    };
    set("--rows", options.rows);
    set("--users", options.users);
    set("--profile", options.profile);
    set("--selection-bias", options.selection_bias);
    set("--click-rate", options.click_rate);
    set("--conversion-rate", options.conversion_rate);
    synth_command(options, given.json());
  };
}

void add_convert(Command& command) {
  command.example("esmm_gpu convert --data ali_ccp --out packed");
  command.config_flag("data", "raw log to pack: an Ali-CCP directory, .csv, .tsv, .txt or .parquet");
  command.config_flag("out", "directory to create", "DIR");
  for (const char* flag : {"schema", "vocab", "min-count", "encoding", "buckets", "on-bad-row", "on-contradiction"}) {
    command.config_flag(flag);
  }
  command.json_flag("the report");
  command.common_flags();
  command.run = [](const Command& given) {
    const Config config = start(given.config_values());
    static_cast<void>(given.require("--data", kDataRemedy));
    static_cast<void>(given.require("--out", "Give the directory to create."));
    convert_command({.data = config.data,
                     .out = config.out,
                     .schema = config.schema,
                     .vocab = config.vocab,
                     .min_count = config.min_count,
                     .encoding = config.encoding,
                     .buckets = config.buckets,
                     .on_bad_row = config.on_bad_row,
                     .on_contradiction = config.on_contradiction,
                     .threads = config.threads,
                     .json = given.json()});
  };
}

void add_inspect(Command& command) {
  command.example("esmm_gpu inspect packed");
  command.example("esmm_gpu inspect runs/first --json");
  command.positional("path", "a packed dataset, a vocabulary or a run");
  command.json_flag("the report");
  command.common_flags();
  command.run = [](const Command& given) {
    static_cast<void>(start(given.config_values()));
    inspect_command(
        {.path = given.require("path", "Give a packed dataset, a vocab/ directory or a run."), .json = given.json()});
  };
}

void add_eval(Command& command) {
  command.example("esmm_gpu eval --run runs/first --data packed --json");
  command.flag("run", "RUN", "the run whose model to evaluate");
  command.config_flag("data", "data to evaluate on; of a directory with both halves the test half");
  command.flag("truth", "FILE", "truth_test.csv of esmm_gpu synth: adds entire_space_cvr_auc");
  command.json_flag("the metrics");
  command.config_flag("on-bad-row");
  command.config_flag("on-contradiction");
  command.common_flags();
  command.run = [](const Command& given) {
    const Config config = start(given.config_values());
    eval_command({.run = given.require("--run", kRunRemedy),
                  .data = given.require("--data", kDataRemedy),
                  .truth = given.get("--truth"),
                  .json = given.json(),
                  .on_bad_row = config.on_bad_row,
                  .on_contradiction = config.on_contradiction,
                  .device = config.device,
                  .precision = config.precision,
                  .threads = config.threads});
  };
}

void add_predict(Command& command) {
  command.example("esmm_gpu predict --run runs/first --data packed --out predictions.csv");
  command.flag("run", "RUN", "the run whose model to use");
  command.config_flag("data", "impressions to predict; labels are not needed");
  command.config_flag("out", "file to write: sample_id,pctr,pcvr,pctcvr in input order; .csv or .parquet", "FILE");
  command.config_flag("on-bad-row");
  command.common_flags();
  command.run = [](const Command& given) {
    const Config config = start(given.config_values());
    predict_command({.run = given.require("--run", kRunRemedy),
                     .data = given.require("--data", kDataRemedy),
                     .out = given.require("--out", "Give the .csv or .parquet file to write."),
                     .on_bad_row = config.on_bad_row,
                     .device = config.device,
                     .precision = config.precision,
                     .threads = config.threads});
  };
}

void add_report(Command& command) {
  command.positionals("run", "the run to report on; several are compared");
  command.config_flag("out", "HTML file to write; else RUN/report.html, which one run has only", "FILE.html");
  command.common_flags();
  command.run = [](const Command& given) {
    const Config config = start(given.config_values());
    static_cast<void>(given.require("run", kRunRemedy));
    report_command({.runs = given.all("run"), .out = config.out});
  };
}

void add_export(Command& command) {
  command.example("esmm_gpu export --run runs/first --out model.onnx");
  command.example("esmm_gpu export --run runs/first --format triton --out models/esmm");
  static constexpr std::array<std::string_view, 2> kFormats{"onnx", "triton"};
  command.flag("run", "RUN", "the run whose model to export");
  command.flag("format", joined(kFormats), "an ONNX file, or a model directory for Triton [onnx]");
  command.config_flag("out", "file to write; with --format triton the directory to create", "FILE");
  command.flag("external-data-mb", "MB", "tables larger than this go to FILE.data [1024]");
  command.common_flags();
  command.run = [](const Command& given) {
    const Config config = start(given.config_values());
    ExportOptions options;
    options.run = given.require("--run", kRunRemedy);
    options.out = given.require("--out", "Give the file to write, such as model.onnx.");
    options.threads = config.threads;
    if (given.given("--format")) {
      options.format = static_cast<ExportFormat>(parse_choice(given.get("--format"), "--format", kFormats));
    }
    if (given.given("--external-data-mb")) {
      parse_value(given.get("--external-data-mb"), "--external-data-mb", options.external_data_mb);
    }
    export_command(options);
  };
}

/// Holds the commands' order in --help.
std::deque<Command> make_commands(CLI::App& program);

/// The texts of all commands, from a command line that is made for the purpose.
std::vector<CommandText> command_texts() {
  CLI::App program;
  std::vector<CommandText> texts;
  for (const Command& command : make_commands(program)) texts.push_back(command.text());
  return texts;
}

void add_completion(Command& command) {
  command.example("source <(esmm_gpu completion bash)");
  command.positional("shell", "bash or zsh");
  command.common_flags();
  command.run = [](const Command& given) {
    static constexpr std::array<std::string_view, 2> kShells{"bash", "zsh"};
    const std::string shell = given.require("shell", "Give bash or zsh.");
    const bool bash = parse_choice(shell, "completion", kShells) == 0;
    print_result(bash ? bash_completion(command_texts()) : zsh_completion(command_texts()));
  };
}

void add_man(Command& command) {
  command.example("esmm_gpu man | man -l -");
  command.common_flags();
  command.run = [](const Command&) { print_result(manual_page(command_texts(), ESMM_VERSION)); };
}

std::deque<Command> make_commands(CLI::App& program) {
  std::deque<Command> commands;
  const auto add = [&](const char* name, const char* purpose, void (*add_flags)(Command&)) {
    add_flags(commands.emplace_back(program, name, purpose));
  };
  add("synth", "Make a click log from a hidden world in which the true rates are known.", add_synth);
  add("convert", "Pack a raw log, so that training reads it fast.", add_convert);
  add("inspect", "Say what a packed dataset, a vocabulary or a run holds; warn of leaks.", add_inspect);
  add("train", "Train a model.", add_train);
  add("eval", "Compute the metrics of a trained model.", add_eval);
  add("predict", "Write pCTR, pCVR and pCTCVR of every impression.", add_predict);
  add("report", "Write the report of a run, or a comparison of several, as one HTML file.", add_report);
  add("export", "Export a model for serving.", add_export);
  add("completion", "Print the completions of a shell.", add_completion);
  add("man", "Print the manual page.", add_man);
  return commands;
}

void no_command(const std::vector<std::string>& rest, const std::deque<Command>& commands) {
  std::vector<std::string> names{"--help", "--version"};
  for (const Command& command : commands) names.push_back(command.name());
  const std::string all = fmt::format("{}", fmt::join(names.begin() + 2, names.end(), ", "));
  if (rest.empty()) throw usage_error("no command. Give one of {}; esmm_gpu --help describes them.", all);
  throw usage_error("no such command: {}. {}", rest.front(),
                    did_you_mean(rest.front(), names, fmt::format("Give one of {}.", all)));
}

void dispatch(int argc, char** argv) {
  CLI::App program{"Trains ESMM (arXiv:1804.07931): pCTR and pCVR over the entire space of impressions.", "esmm_gpu"};
  const std::string parquet = parquet_library();
  program.set_version_flag("--version", fmt::format("esmm_gpu {} ({})", ESMM_VERSION,
                                                    parquet.empty() ? "no Parquet" : "Parquet: " + parquet));
  program.require_subcommand(0, 1);
  program.allow_extras();
  program.get_formatter()->column_width(36);
  program.footer("esmm_gpu COMMAND --help lists the flags of a command. docs/cli.md describes them all.");
  const std::deque<Command> commands = make_commands(program);
  try {
    program.parse(argc, argv);
  } catch (const CLI::CallForVersion& version) {
    return print_result(fmt::format("{}\n", version.what()));
  } catch (const CLI::CallForHelp&) {
    return print_result(program.help());
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string text = error.what();
    throw usage_error("{}: give it once, with one value.", text.substr(0, text.find(':')));
  } catch (const CLI::ParseError& error) {
    throw usage_error("{}. See esmm_gpu --help.", error.what());
  }
  const auto chosen = std::find_if(commands.begin(), commands.end(), [](const Command& c) { return c.chosen(); });
  if (chosen == commands.end()) return no_command(program.remaining(), commands);
  chosen->check_unknown();
  chosen->run(*chosen);
}

int fail(ExitCode code, std::string message) {
  std::replace(message.begin(), message.end(), '\n', ' ');
  draw_status_line({});
  fmt::memory_buffer line;
  fmt::format_to(fmt::appender(line), "esmm_gpu: {}\n", message);
  static_cast<void>(std::fwrite(line.data(), 1, line.size(), stderr));
  return static_cast<int>(code);
}

}  // namespace

int run(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is then an error of one write, not the end of the program
  std::signal(SIGXFSZ, SIG_IGN);  // so is a file that may not grow
  try {
    start_logging("info");
    dispatch(argc, argv);
    return static_cast<int>(ExitCode::ok);
  } catch (const Error& error) {
    return fail(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return fail(ExitCode::device,
                "out of memory. Lower --batch-size, --dim, --window-mb or --threads, or raise --min-count.");
  } catch (const fs::filesystem_error& error) {
    return fail(ExitCode::io, fmt::format("{}: {}.", error.path1().string(), error.code().message()));
  } catch (const std::system_error& error) {  // a thread, most likely
    return fail(ExitCode::device, fmt::format("out of system resources: {}. Lower --threads.", error.what()));
  } catch (const std::exception& error) {
    return fail(ExitCode::internal, fmt::format("internal error: {}", error.what()));
  }
}

}  // namespace esmm
