#include "engine/datasets.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "engine/fingerprint.hpp"
#include "engine/interrupt.hpp"
#include "io/file.hpp"
#include "io/readers.hpp"
#include "kernels/error.hpp"

namespace esmm {

namespace {

namespace fs = std::filesystem;

/// The half to read: the one asked for where it is there, else what the directory has.
Half available_half(const std::string& directory, Half wanted) {
  if (wanted == Half::whole || has_half(directory, wanted)) return wanted;
  const Half other = wanted == Half::train ? Half::test : Half::train;
  if (!has_half(directory, other)) return Half::whole;
  spdlog::warn("{}: has only a {} half: using it.", directory, other == Half::train ? "train" : "test");
  return other;
}

std::string half_directory(const std::string& path, Half half) {
  return (fs::path(path) / (half == Half::test ? "test" : "train")).string();
}

std::vector<std::string> raw_files(const std::string& path, PathKind kind, Half half) {
  if (kind == PathKind::parquet) return parquet_files(path);
  if (kind != PathKind::ali_ccp_directory) return {path};
  std::vector<std::string> files;
  for (const HalfFiles& pair : find_halves(path, half)) {
    files.push_back(pair.skeleton);
    files.push_back(pair.common);
  }
  std::erase(files, "");  // a missing common_features file is for the reader to report
  return files;
}

/// A packed dataset cannot be encoded anew: what the request asks for must be what it has.
void check_fits(const PackedDataset& dataset, const DatasetRequest& request) {
  const std::shared_ptr<const Vocabulary>& wanted = request.pack.vocabulary;
  if (wanted && wanted->hash() != dataset.vocabulary_hash()) {
    throw data_error(
        "{}: was packed with vocabulary {}, but vocabulary {} is needed. Give the raw log instead, or pack it again: "
        "esmm_gpu convert --vocab with the run or the train half.",
        dataset.path(), dataset.vocabulary_hash(), wanted->hash());
  }
  if (request.schema &&
      (request.schema->fields != dataset.schema().fields || request.schema->dense != dataset.schema().dense)) {
    throw data_error("{}: was packed with other fields than the schema that is needed. Pack the raw log again with it.",
                     dataset.path());
  }
}

/// The cache entry, every byte of it verified, or null when there is none; a damaged one is removed.
std::shared_ptr<const PackedDataset> open_cached(const std::string& directory) {
  if (!fs::exists(directory)) return nullptr;
  try {
    auto dataset = PackedDataset::open(directory);
    dataset->verify();
    return dataset;
  } catch (const Error& error) {
    if (error.code() != ExitCode::data) throw;  // nothing says that it is damaged
    spdlog::warn("the packed copy cannot be used and is made anew: {}", error.what());
    fs::remove_all(directory);
    return nullptr;
  }
}

/// Lets another process that is packing the same log finish.
void wait_for_packer(const std::string& directory) {
  std::optional<int> told;
  while (const std::optional<int> process = process_staging(directory)) {
    if (interrupted()) throw Error(ExitCode::interrupted, "interrupted while waiting for a packed copy");
    if (told != process) spdlog::info("waiting for process {}, which is packing the same log", *process);
    told = process;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

std::shared_ptr<const PackedDataset> pack_into_cache(const DatasetRequest& request, Half half,
                                                     const std::vector<std::string>& files,
                                                     const std::string& directory) {
  make_directory(request.cache_directory);
  remove_abandoned(request.cache_directory);
  PackOptions options = request.pack;
  if (request.before_packing) request.before_packing(options, files);
  const std::unique_ptr<LogReader> log = open_log(request.path, {.half = half,
                                                                 .schema = request.schema.get(),
                                                                 .labels_required = request.labels_required,
                                                                 .threads = options.threads});
  spdlog::info("packing {} into {}", files.size() > 2 ? request.path : fmt::format("{}", fmt::join(files, " and ")),
               directory);
  try {
    pack(*log, directory, options);
  } catch (const Error&) {
    // Another process may have packed the same meanwhile; its copy is as good.
    if (!fs::exists(directory)) throw;
  }
  return PackedDataset::open(directory);
}

std::shared_ptr<const PackedDataset> open_raw(const DatasetRequest& request, PathKind kind) {
  const Half half = kind == PathKind::ali_ccp_directory ? available_half(request.path, request.half) : Half::whole;
  const std::vector<std::string> files = raw_files(request.path, kind, half);
  const std::string directory = (fs::path(request.cache_directory) / fingerprint(request, files)).string();
  wait_for_packer(directory);
  if (auto cached = open_cached(directory)) {
    spdlog::info("reusing {}, packed from {} before", directory, request.path);
    return cached;
  }
  return pack_into_cache(request, half, files, directory);
}

}  // namespace

std::shared_ptr<const PackedDataset> open_dataset(const DatasetRequest& request) {
  const PathKind kind = classify_path(request.path);
  if (kind != PathKind::packed && kind != PathKind::packed_halves) return open_raw(request, kind);
  const bool halves = kind == PathKind::packed_halves;
  auto dataset = PackedDataset::open(halves ? half_directory(request.path, request.half) : request.path);
  check_fits(*dataset, request);
  return dataset;
}

std::shared_ptr<const Vocabulary> load_any_vocabulary(const std::string& path) {
  for (const char* inside : {"", "vocab", "train/vocab"}) {
    const fs::path directory = fs::path(path) / inside;
    if (fs::exists(directory / "vocabulary.json")) return Vocabulary::load(directory.string());
  }
  throw usage_error("{}: holds no vocabulary. Give a vocab/ directory, a packed dataset or a run.", path);
}

std::shared_ptr<const Schema> schema_beside(const std::string& path) {
  const fs::path directory(path);
  if (fs::exists(directory / "schema.toml")) {
    return std::make_shared<const Schema>(load_schema((directory / "schema.toml").string()));
  }
  for (const fs::path& packed : {directory, directory / "train"}) {
    if (!fs::exists(packed / "manifest.json")) continue;
    return std::make_shared<const Schema>(PackedDataset::open(packed.string())->schema());
  }
  return nullptr;
}

bool has_guessed_schema(PathKind kind) {
  return kind == PathKind::csv || kind == PathKind::tsv || kind == PathKind::parquet;
}

bool has_test_half(const std::string& path) {
  switch (classify_path(path)) {
    case PathKind::packed_halves:
      return fs::exists(fs::path(half_directory(path, Half::test)) / "manifest.json");
    case PathKind::ali_ccp_directory:
      return has_half(path, Half::train) && has_half(path, Half::test);
    default:
      return false;
  }
}

}  // namespace esmm
