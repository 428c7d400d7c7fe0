#include "engine/run_directory.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "io/file.hpp"
#include "kernels/error.hpp"

namespace esmm {

namespace fs = std::filesystem;

namespace {
constexpr std::uint64_t kSmallFile = 1U << 20, kDocument = 64U << 20;
constexpr std::string_view kCheckpointPrefix = "step-", kCheckpointSuffix = ".safetensors";
}  // namespace

namespace {
Error occupied(const std::string& path) {
  return usage_error("{}: holds a run already. Choose another --out, or continue it with --resume {}.", path, path);
}
}  // namespace

RunDirectory RunDirectory::create(const std::string& path) {
  RunDirectory directory(path);
  // An empty checkpoints/ without the rest is what a set-up that was killed may have left.
  for (const char* name : {"config.toml", "metrics.jsonl"}) {
    if (fs::exists(fs::path(path) / name)) throw occupied(path);
  }
  if (!directory.checkpoints().empty()) throw occupied(path);
  return directory;
}

RunDirectory RunDirectory::open(const std::string& path) {
  if (!fs::exists(fs::path(path) / "config.toml")) {
    throw usage_error("{}: no run here (config.toml is missing). Name the directory that `esmm_gpu train` wrote.",
                      path);
  }
  return RunDirectory(path);
}

File RunDirectory::lock() const {
  make_directory(path_);
  const std::string name = path_ + "/.lock";
  File file = File::append_to(name);  // not emptied: it names the process that has it
  if (!file.try_lock()) {
    throw usage_error("{}: process {} is training in it. Wait for it to end, stop it, or choose another --out.", path_,
                      read_file(name, kSmallFile));
  }
  file.replace(std::to_string(::getpid()));
  remove_abandoned(path_);
  remove_abandoned(path_ + "/checkpoints");
  remove_abandoned(path_ + "/vocab");
  return file;
}

void RunDirectory::write_setup(const Config& config, const Schema& schema, const Vocabulary& vocabulary) const {
  static_cast<void>(create(path_));
  make_directory(path_ + "/checkpoints");
  vocabulary.save(path_ + "/vocab");
  write_file(path_ + "/schema.toml", schema_to_toml(schema));
  write_config(config);  // last: its presence makes this a run
}

void RunDirectory::write_config(const Config& config) const {
  write_file(path_ + "/config.toml", to_toml(config));
}

Config RunDirectory::config() const {
  Config config;
  apply_toml(config, read_file(path_ + "/config.toml", kSmallFile), path_ + "/config.toml");
  return config;
}

Schema RunDirectory::schema() const {
  return load_schema(path_ + "/schema.toml");
}
std::shared_ptr<const Vocabulary> RunDirectory::vocabulary() const {
  const std::string directory = path_ + "/vocab";
  require_part(directory, "Restore it from a copy of the run, or train anew.");
  return Vocabulary::load(directory);
}

std::string RunDirectory::cache_directory() const {
  const fs::path run = fs::absolute(path_).lexically_normal();
  const fs::path parent = run.has_filename() ? run.parent_path() : run.parent_path().parent_path();
  return (parent / ".packed").string();
}

std::string RunDirectory::checkpoint_path(std::int64_t step) const {
  return fmt::format("{}/checkpoints/{}{:010}{}", path_, kCheckpointPrefix, step, kCheckpointSuffix);
}

std::vector<std::int64_t> RunDirectory::checkpoints() const {
  std::vector<std::int64_t> steps;
  std::error_code error;
  fs::directory_iterator file(fs::path(path_) / "checkpoints", error);
  // Not to be mistaken for a run without checkpoints, which would begin again.
  if (error && error != std::errc::no_such_file_or_directory)
    throw io_error("{}/checkpoints: cannot list the directory: {}.", path_, error.message());
  for (; file != fs::directory_iterator(); ++file) {
    const std::string name = file->path().filename().string();
    if (!name.starts_with(kCheckpointPrefix) || !name.ends_with(kCheckpointSuffix)) continue;
    const char* begin = name.data() + kCheckpointPrefix.size();
    const char* end = name.data() + name.size() - kCheckpointSuffix.size();
    std::int64_t step = 0;
    if (std::from_chars(begin, end, step).ptr == end) steps.push_back(step);
  }
  std::ranges::sort(steps);
  return steps;
}

std::vector<std::string> RunDirectory::checkpoint_paths() const {
  std::vector<std::string> paths;
  for (const std::int64_t step : checkpoints()) paths.push_back(checkpoint_path(step));
  return paths;
}

void RunDirectory::set_aside_checkpoints_after(std::int64_t step) const {
  for (const std::int64_t later : checkpoints()) {
    if (later > step) fs::rename(checkpoint_path(later), checkpoint_path(later) + ".damaged");
  }
}

void RunDirectory::prune_checkpoints(std::int64_t keep) const {
  const std::vector<std::int64_t> steps = checkpoints();
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < steps.size(); ++i) {
    std::error_code ignored;  // a checkpoint too many harms nobody
    fs::remove(checkpoint_path(steps[i]), ignored);
  }
}

void RunDirectory::append_metrics(const std::string& json_line) const {
  const std::string line = json_line + '\n';
  File::append_to(path_ + "/metrics.jsonl").append(std::as_bytes(std::span(line)));
}

void RunDirectory::sync_metrics() const {
  File::append_to(path_ + "/metrics.jsonl").sync();
}

void RunDirectory::rewind_metrics(std::int64_t step, std::int64_t evaluated_step) const {
  const std::string file = path_ + "/metrics.jsonl";
  if (!fs::exists(file)) return;
  std::istringstream in(read_file(file, std::numeric_limits<std::uint64_t>::max()));
  std::string kept, line;
  while (std::getline(in, line)) {
    const nlohmann::json entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    // A torn last line of a run that was killed is dropped too.
    if (!entry.is_object()) continue;
    const std::int64_t last = entry.contains("split") ? evaluated_step : step;
    if (entry.value("step", std::int64_t{0}) <= last) kept += line + '\n';
  }
  write_file(file, kept);
}

void RunDirectory::write_document(const std::string& name, const nlohmann::ordered_json& document, int indent) const {
  using ErrorHandler = nlohmann::ordered_json::error_handler_t;
  write_file(path_ + "/" + name, document.dump(indent, ' ', /*ensure_ascii=*/false, ErrorHandler::replace) + "\n");
}

std::optional<std::int64_t> RunDirectory::finished_steps() const {
  const nlohmann::ordered_json summary = read_document("summary.json");
  if (!summary.is_object() || !summary.value("steps", nlohmann::ordered_json()).is_number_integer()) return {};
  return summary["steps"].get<std::int64_t>();
}

nlohmann::ordered_json RunDirectory::read_document(const std::string& name) const {
  const std::string file = path_ + "/" + name;
  if (!fs::exists(file)) return nullptr;
  nlohmann::ordered_json document =
      nlohmann::ordered_json::parse(read_file(file, kDocument), nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) throw data_error("{}: is not a JSON object. Train again, or remove it.", file);
  return document;
}

}  // namespace esmm
