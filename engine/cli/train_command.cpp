#include <spdlog/spdlog.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/cli/dataset_report.hpp"
#include "engine/cli/logging.hpp"
#include "engine/cli/pack_progress.hpp"
#include "engine/cli/progress.hpp"
#include "engine/cli/result.hpp"
#include "engine/commands.hpp"
#include "engine/config_options.hpp"
#include "engine/datasets.hpp"
#include "engine/device.hpp"
#include "engine/interrupt.hpp"
#include "engine/machine.hpp"
#include "engine/memory_estimate.hpp"
#include "engine/metrics_text.hpp"
#include "engine/report/page.hpp"
#include "engine/stopwatch.hpp"
#include "engine/training_run.hpp"
#include "kernels/error.hpp"

namespace esmm {

namespace {

std::string default_run_path(const Config& config) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%d-%H%M%S", &local);
  const std::string name = fmt::format("runs/{}-{}", text, name_of(config.model));
  std::string path = name;
  for (int again = 2; std::filesystem::exists(path); ++again) path = fmt::format("{}-{}", name, again);
  return path;
}

/// Paths are kept absolute, so that the run can be resumed and reproduced from anywhere.
void make_paths_absolute(Config& config) {
  for (std::string* path : {&config.data, &config.valid, &config.schema, &config.vocab}) {
    if (!path->empty()) *path = std::filesystem::absolute(*path).lexically_normal().string();
  }
}

struct Datasets {
  std::shared_ptr<const PackedDataset> train, valid;  // valid may be null
};

Datasets open_datasets(const Config& config, const RunDirectory& directory, bool has_run) {
  DatasetRequest request;
  request.path = config.data;
  request.half = Half::train;
  request.cache_directory = directory.cache_directory();
  if (!config.schema.empty()) {
    request.schema = std::make_shared<const Schema>(load_schema(config.schema));
  } else if (!config.vocab.empty()) {
    request.schema = schema_beside(config.vocab);
  }
  if (!config.vocab.empty()) request.pack.vocabulary = load_any_vocabulary(config.vocab);
  request.pack.min_count = config.min_count;
  request.pack.encoding = config.encoding;
  request.pack.buckets = config.buckets;
  request.pack.on_bad_row = config.on_bad_row;
  request.pack.on_contradiction = config.on_contradiction;
  request.pack.threads = config.threads;
  request.before_packing = show_pack_progress;

  Datasets datasets;
  datasets.train = open_dataset(request);
  if (!request.schema && has_guessed_schema(classify_path(config.data))) {
    spdlog::info("guessed the schema; to change it, save it to a file and pass --schema FILE.toml\n{}",
                 schema_to_toml(datasets.train->schema()));
  }
  if (!datasets.train->labelled()) throw data_error("{}: has no labels to train on.", config.data);
  if (has_run && directory.vocabulary()->hash() != datasets.train->vocabulary_hash()) {
    throw data_error("{}: is no longer the data that {} was trained on (its vocabulary differs).", config.data,
                     directory.path());
  }
  const bool own_test_half = config.valid.empty() && has_test_half(config.data);
  if (config.valid.empty() && !own_test_half) return datasets;
  request.path = own_test_half ? config.data : config.valid;
  request.half = has_test_half(request.path) ? Half::test : Half::train;
  request.schema = std::make_shared<const Schema>(datasets.train->schema());
  request.pack.vocabulary = datasets.train->vocabulary();
  datasets.valid = open_dataset(request);
  if (!datasets.valid->labelled()) throw data_error("{}: has no labels to evaluate on.", request.path);
  return datasets;
}

/// Of what makes every metric meaningless. A sample suffices: `inspect` looks at more.
void warn_of(const PackedDataset& dataset) {
  constexpr std::size_t kSample = 200'000;
  for (const std::string& warning : dataset_warnings(dataset, find_leaks(dataset, kSample)))
    spdlog::warn("{}", warning);
}

/// Lets a GPU settle on its tower kernels for batches of this data's shape. The choice is part of the configuration, so
/// that it is recorded with the run and kept by resuming.
void choose_towers(Backend& backend, const ModelSpec& spec, const DatasetStatistics& statistics, Config& config) {
  if (backend.memory_is_host()) return;
  const auto impressions = static_cast<std::int64_t>(statistics.impressions);
  const auto users = static_cast<std::int64_t>(statistics.common_rows);
  const std::int64_t rows = std::min(config.batch_size, impressions);
  const std::int64_t common_rows = impressions == 0 ? 0 : (rows * users + impressions - 1) / impressions;
  const TowerChoice choice = backend.choose_towers(spec.towers, rows, common_rows, config.dropout > 0);
  config.towers = choice.kernels;
  if (!choice.warning.empty()) spdlog::warn("{}", choice.warning);
  spdlog::info("towers: {}", choice.description);
}

/// What the run starts from, besides its configuration.
nlohmann::ordered_json setup(const Datasets& datasets, const std::string& device) {
  const Machine machine = this_machine();
  nlohmann::ordered_json data{{"train", dataset_json(*datasets.train)}};
  if (datasets.valid) data["valid"] = dataset_json(*datasets.valid);
  return {{"program", "esmm_gpu " ESMM_VERSION},
          {"machine",
           {{"device", device},
            {"processor", machine.processor},
            {"cores", machine.cores},
            {"memory_bytes", machine.memory_bytes},
            {"system", machine.system}}},
          {"data", std::move(data)}};
}

/// Seconds of this process before training.
struct SetUpSeconds {
  double data = 0, preparation = 0;
};

nlohmann::ordered_json summary(const Config& config, const std::string& device, const TrainingRun& run,
                               const TrainingResult& result, const SetUpSeconds& before) {
  nlohmann::ordered_json metrics{{"train", metrics_json(result.train)}};
  if (result.valid) metrics["valid"] = metrics_json(*result.valid);
  const double seconds = result.state.train_seconds;
  return {{"model", name_of(config.model)},
          {"device", device},
          {"precision", name_of(config.precision)},
          {"towers", name_of(config.towers)},
          {"rows", result.rows},
          {"epochs", result.state.epoch},
          {"steps", result.state.step},
          {"skipped_steps", result.state.skipped_steps},
          {"stopped_early", result.state.stopped_early},
          {"train_seconds", seconds},
          {"samples_per_second", seconds > 0 ? static_cast<double>(result.rows) / seconds : 0.0},
          {"parameters", run.parameters().count()},
          {"stage_seconds",
           {{"data", before.data},
            {"preparation", before.preparation},
            {"training", result.seconds.training},
            {"evaluation", result.seconds.evaluation},
            {"checkpoints", result.seconds.checkpoints}}},
          {"metrics", metrics}};
}

TrainingObserver observe(Progress& progress) {
  TrainingObserver observer;
  observer.on_step = [&progress](std::int64_t, std::int64_t rows, double loss) {
    progress.update(static_cast<std::uint64_t>(rows), std::isnan(loss) ? "" : fmt::format("loss {:.5f}", loss));
  };
  observer.on_log = [&progress](const std::string& line) {
    progress.note(fmt::format("{}  {} rows/s", line, short_number(progress.rate())));
  };
  observer.on_metrics = [](const std::string& split, const Metrics& metrics) {
    std::string line = split + ":";
    for (const std::string name : {"ctr_auc", "cvr_auc", "ctcvr_auc"}) {
      const auto value = metrics.value(name);
      line += value ? fmt::format("  {} {:.5f}", name, *value) : fmt::format("  {} undefined", name);
    }
    spdlog::info("{}", line);
  };
  observer.on_warning = [](const std::string& warning) { spdlog::warn("{}", warning); };
  return observer;
}

/// Writes what an interrupted run has so far; that it could not is not what the user must hear.
void report_interrupted(const RunDirectory& directory) {
  try {
    write_report(directory);
  } catch (const Error& error) {
    spdlog::warn("no report: {}", error.what());
  }
}

Result finish(const Config& config, const RunDirectory& directory, const Backend& backend, const TrainingRun& run,
              const TrainingResult& result, const SetUpSeconds& before) {
  nlohmann::ordered_json curves{{"train", curves_json(result.train.curves)}};
  if (result.valid) curves["valid"] = curves_json(result.valid->curves);
  directory.write_document("curves.json", curves, /*indent=*/-1);
  nlohmann::ordered_json document = summary(config, backend.name(), run, result, before);
  directory.write_document("summary.json", document);
  write_report(directory);
  std::vector<std::pair<std::string, Metrics>> splits{{"train", result.train}};
  if (result.valid) splits.emplace_back("valid", *result.valid);
  for (const auto& [split, metrics] : splits) {
    for (const std::string& warning : metric_warnings(split, metrics)) spdlog::warn("{}", warning);
  }
  const double seconds = result.state.train_seconds;
  document["run"] = directory.path();
  return {fmt::format("{}\ntrained {} rows in {:.1f} s ({} rows/s); the run is in {}, see {}\n", metrics_table(splits),
                      result.rows, seconds, short_number(static_cast<double>(result.rows) / seconds), directory.path(),
                      directory.report_path()),
          std::move(document)};
}

/// Continues from the newest checkpoint that is whole; from the beginning when none was written yet.
void resume_run(TrainingRun& run, const RunDirectory& directory) {
  const std::vector<std::string> checkpoints = directory.checkpoint_paths();
  if (checkpoints.empty()) {
    directory.rewind_metrics(0, 0);
    spdlog::info("{}: no checkpoint was written yet; starting from the beginning", directory.path());
    return;
  }
  const auto skipped = [](const std::string& reason) { spdlog::warn("skipped a checkpoint: {}", reason); };
  const std::optional<std::string> checkpoint = newest_good_checkpoint(checkpoints, skipped);
  if (!checkpoint) {
    throw data_error("{}/checkpoints: none of its {} checkpoints is whole. Start anew with another --out.",
                     directory.path(), checkpoints.size());
  }
  run.resume(*checkpoint);
  spdlog::info("resuming from {}{}", *checkpoint,
               run.stopped_early() ? ": it had stopped early, so nothing is left to train" : "");
}

}  // namespace

void train_command(const Config& given, const std::string& resume, bool json) {
  Config config = given;
  const std::unique_ptr<Backend> backend = make_backend(config.device, config.threads, config.precision, config.towers);
  make_paths_absolute(config);
  if (resume.empty() && config.out.empty()) config.out = default_run_path(config);
  const RunDirectory directory = resume.empty() ? RunDirectory::create(config.out) : RunDirectory::open(resume);
  std::optional<File> lock;  // a new run's directory is made when it starts
  if (!resume.empty()) lock.emplace(directory.lock());

  install_interrupt_handlers();
  SetUpSeconds before;
  const Datasets data = [&] {
    const Stopwatch watch(before.data);
    return open_datasets(config, directory, !resume.empty());
  }();
  if (resume.empty()) warn_of(*data.train);
  if (!config.early_stopping.empty() && data.valid == nullptr) {
    throw usage_error("--early-stopping {}: needs data to evaluate on. Name it with --valid.", config.early_stopping);
  }
  std::optional<Stopwatch> preparing(before.preparation);
  const std::shared_ptr<const Vocabulary> vocabulary = data.train->vocabulary();
  const ModelSpec spec =
      make_model_spec(config, data.train->schema(), *vocabulary, normalisation(data.train->statistics().dense));
  const auto impressions = static_cast<std::int64_t>(data.train->statistics().impressions);
  const bool resident = check_memories(*backend, config, spec, *data.train);
  choose_towers(*backend, spec, data.train->statistics(), config);
  if (resume.empty()) {
    lock.emplace(directory.lock());
    directory.write_setup(config, spec.schema, *vocabulary);
  }
  directory.write_document("setup.json", setup(data, backend->name()));

  Progress progress("train", static_cast<std::uint64_t>(impressions * config.epochs), "rows");
  TrainingRun run(*backend, config, spec, directory, data.train, data.valid, observe(progress), resident);
  spdlog::info("training {} on {}: {} impressions, {} embedding rows, {} parameters, {} steps", name_of(config.model),
               backend->name(), data.train->statistics().impressions, spec.arena_rows(), run.parameters().count(),
               run.total_steps());
  if (!resume.empty()) {
    resume_run(run, directory);
    directory.write_config(config);
    progress.start_at(static_cast<std::uint64_t>(run.rows()));
  }
  preparing.reset();
  const TrainingResult result = run.run();
  if (const std::string replays = backend->replay_summary(); !replays.empty()) spdlog::info("{}", replays);
  if (result.interrupted) {
    report_interrupted(directory);
    throw Error(ExitCode::interrupted,
                fmt::format("interrupted at step {}; a checkpoint was written. Continue: esmm_gpu train --resume {}",
                            result.state.step, directory.path()));
  }
  print_result(finish(config, directory, *backend, run, result, before), json);
}

}  // namespace esmm
