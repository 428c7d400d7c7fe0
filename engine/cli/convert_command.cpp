#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/cli/dataset_report.hpp"
#include "engine/cli/pack_progress.hpp"
#include "engine/cli/result.hpp"
#include "engine/commands.hpp"
#include "engine/datasets.hpp"
#include "engine/interrupt.hpp"
#include "io/file.hpp"
#include "kernels/error.hpp"

namespace esmm {

namespace {

namespace fs = std::filesystem;

/// One packed half, or the whole of a log that has none.
struct Packed {
  std::string directory;
  double seconds = 0.0;
};

PackOptions pack_options(const ConvertOptions& options) {
  PackOptions pack;
  pack.min_count = options.min_count;
  pack.encoding = options.encoding;
  pack.buckets = options.buckets;
  pack.on_bad_row = options.on_bad_row;
  pack.on_contradiction = options.on_contradiction;
  pack.threads = options.threads;
  return pack;
}

Packed pack_half(const ConvertOptions& options, Half half, const Schema* schema, PackOptions pack_with,
                 const std::string& directory) {
  const auto started = std::chrono::steady_clock::now();
  const std::unique_ptr<LogReader> log =
      open_log(options.data, {.half = half, .schema = schema, .labels_required = true, .threads = options.threads});
  show_pack_progress(pack_with, log->files());
  pack(*log, directory, pack_with);
  return {directory, std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count()};
}

/// Packs both halves, the test half with the train half's vocabulary; the directory appears when both are done.
std::vector<Packed> pack_halves(const ConvertOptions& options, const Schema* schema, const PackOptions& pack_with) {
  StagedDirectory staged(options.out);
  const std::string train = staged.path() + "/train", test = staged.path() + "/test";
  std::vector<Packed> packed{pack_half(options, Half::train, schema, pack_with, train)};
  PackOptions test_options = pack_with;
  if (!test_options.vocabulary) test_options.vocabulary = Vocabulary::load(train + "/vocab");
  packed.push_back(pack_half(options, Half::test, schema, test_options, test));
  staged.commit();
  packed[0].directory = options.out + "/train";
  packed[1].directory = options.out + "/test";
  return packed;
}

std::vector<Packed> pack_all(const ConvertOptions& options, PathKind kind, const Schema* schema) {
  PackOptions pack_with = pack_options(options);
  if (!options.vocab.empty()) pack_with.vocabulary = load_any_vocabulary(options.vocab);
  if (kind != PathKind::ali_ccp_directory) {
    return {pack_half(options, Half::whole, schema, pack_with, options.out)};
  }
  const bool train = has_half(options.data, Half::train), test = has_half(options.data, Half::test);
  if (train && test) return pack_halves(options, schema, pack_with);
  const Half half = train ? Half::train : test ? Half::test : Half::whole;
  return {pack_half(options, half, schema, pack_with, options.out)};
}

double megabytes_per_second(const PackedDataset& dataset, double seconds) {
  return static_cast<double>(dataset.statistics().text_bytes) / 1e6 / seconds;
}

/// The schema to read with: the user's, else that of the dataset or run whose vocabulary is used, else none.
std::shared_ptr<const Schema> chosen_schema(const ConvertOptions& options) {
  if (!options.schema.empty()) return std::make_shared<const Schema>(load_schema(options.schema));
  return options.vocab.empty() ? nullptr : schema_beside(options.vocab);
}

/// What was packed, half by half. A schema that was guessed comes first, as the TOML that --schema takes.
Result report(const std::vector<Packed>& packed, bool guessed_schema) {
  Result result;
  result.json["datasets"] = nlohmann::ordered_json::array();
  for (const Packed& half : packed) {
    const auto dataset = PackedDataset::open(half.directory);
    const std::string schema = schema_to_toml(dataset->schema());
    const double rate = megabytes_per_second(*dataset, half.seconds);
    if (!result.text.empty()) {
      result.text += '\n';
    } else if (guessed_schema) {
      result.text =
          fmt::format("# Guessed schema; to change it, save it to a file and pass --schema FILE.toml.\n{}\n", schema);
    }
    result.text +=
        fmt::format("{}\npacked in {:.1f} s, {:.0f} MB/s of text\n", dataset_text(*dataset), half.seconds, rate);
    nlohmann::ordered_json json = dataset_json(*dataset);
    json["schema"] = schema;
    json["seconds"] = half.seconds;
    json["megabytes_per_second"] = rate;
    result.json["datasets"].push_back(std::move(json));
  }
  return result;
}

}  // namespace

void convert_command(const ConvertOptions& options) {
  install_interrupt_handlers();
  const PathKind kind = classify_path(options.data);
  if (kind == PathKind::packed || kind == PathKind::packed_halves) {
    throw usage_error("--data {}: is packed already. Give a raw log.", options.data);
  }
  if (fs::exists(options.out)) {
    throw usage_error("--out {}: exists already. Name a new directory, or remove that one.", options.out);
  }
  const std::shared_ptr<const Schema> schema = chosen_schema(options);
  const std::vector<Packed> packed = pack_all(options, kind, schema.get());
  print_result(report(packed, !schema && has_guessed_schema(kind)), options.json);
}

}  // namespace esmm
