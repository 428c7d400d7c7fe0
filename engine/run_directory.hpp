#pragma once
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/config.hpp"
#include "engine/metrics.hpp"
#include "io/file.hpp"
#include "io/schema.hpp"
#include "io/vocabulary.hpp"

namespace esmm {

/// What a run leaves behind: config.toml, schema.toml, vocab/, model.safetensors, metrics.jsonl, summary.json and other
/// small documents, report.html, checkpoints/. docs/run_directory.md describes the files.
class RunDirectory {
 public:
  /// Names the directory of a new run; `write_setup` creates it, so that a run that never starts leaves nothing behind.
  /// Throws Error (usage) when there is a run in it already.
  [[nodiscard]] static RunDirectory create(const std::string& path);
  /// An existing run. Throws Error (usage) when there is none.
  [[nodiscard]] static RunDirectory open(const std::string& path);

  /// Makes this process the only one that writes here, until the lock is gone or the process is, however it ends; then
  /// removes what an earlier one left half written. Creates the directory. Throws Error (usage) naming the process that
  /// has it.
  [[nodiscard]] File lock() const;
  /// Throws Error (usage) when a run is there by now. What was left of a set-up that did not end is replaced.
  void write_setup(const Config& config, const Schema& schema, const Vocabulary& vocabulary) const;
  /// A resumed run may have been given more epochs or another device.
  void write_config(const Config& config) const;
  [[nodiscard]] Config config() const;
  [[nodiscard]] Schema schema() const;
  [[nodiscard]] std::shared_ptr<const Vocabulary> vocabulary() const;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string report_path() const { return path_ + "/report.html"; }
  [[nodiscard]] std::string model_path() const { return path_ + "/model.safetensors"; }
  /// Where raw input is packed to: beside the run, shared by its neighbours.
  [[nodiscard]] std::string cache_directory() const;
  [[nodiscard]] std::string checkpoint_path(std::int64_t step) const;
  /// Steps of the checkpoints that are there, ascending.
  [[nodiscard]] std::vector<std::int64_t> checkpoints() const;
  [[nodiscard]] std::vector<std::string> checkpoint_paths() const;
  /// Renames the checkpoints after `step`, which are damaged, to *.damaged: they are not counted any more.
  void set_aside_checkpoints_after(std::int64_t step) const;
  /// Removes all but the newest `keep`.
  void prune_checkpoints(std::int64_t keep) const;

  /// Appends one JSON object as a line to metrics.jsonl.
  void append_metrics(const std::string& json_line) const;
  /// Makes the lines so far survive a crash of the machine: before the checkpoint that counts on them.
  void sync_metrics() const;
  /// Drops the lines of steps after `step` and of evaluations after `evaluated_step`: a resumed run writes them again.
  void rewind_metrics(std::int64_t step, std::int64_t evaluated_step) const;
  /// A small JSON document of the run by its name ("summary.json"); what is not UTF-8 is replaced by U+FFFD.
  void write_document(const std::string& name, const nlohmann::ordered_json& document, int indent = 2) const;
  /// The steps after which the model was saved; nullopt before training has finished.
  [[nodiscard]] std::optional<std::int64_t> finished_steps() const;
  /// Null when there is none. Throws Error (data) when it is no JSON object.
  [[nodiscard]] nlohmann::ordered_json read_document(const std::string& name) const;

 private:
  explicit RunDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace esmm
