#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/methods.hpp"
#include "io/loader.hpp"
#include "io/pack.hpp"
#include "kernels/cuda/options.hpp"
#include "kernels/optimizer.hpp"
#include "kernels/towers.hpp"

namespace esmm {

enum class Preset { none, released, paper };  // released: the authors' published code; paper: arXiv:1804.07931 §3
enum class Schedule { constant, cosine, step };
enum class Initialiser { truncated_normal, normal, uniform };  // of the embedding tables
enum class Shuffle { common_row, impression, none };
enum class OnNonfinite { error, skip };      // what a step does whose loss or gradient is not finite
enum class Tensorboard { on, off };          // whether a run writes event files
enum class Resident { automatic, on, off };  // whether a GPU keeps the dataset's ids in its memory

/// Per-field settings of the model; unset members fall back to the defaults in Config.
struct FieldConfig {
  std::optional<Pooling> pooling;
  std::optional<ValueTransform> transform;
  std::optional<float> clip;
  friend bool operator==(const FieldConfig&, const FieldConfig&) = default;
};

/// Everything that decides a run. Each member is one flag `--batch-size` and one TOML key `batch_size` (`describe` in
/// config.cpp is the one list of names, groups and help texts). Precedence: flags, then the file, then the preset.
/// Defaults are the authors' released configuration.
struct Config {
  // Data
  std::string data, valid, out, schema, vocab;
  std::uint32_t min_count = 10;
  Encoding encoding = Encoding::vocab;
  std::uint32_t buckets = 1U << 20;
  OnBadRow on_bad_row = OnBadRow::error;
  OnContradiction on_contradiction = OnContradiction::drop;
  Shuffle shuffle = Shuffle::common_row;
  std::int64_t window_mb = 1024;  // decoded data that is shuffled together

  // Model
  ModelKind model = ModelKind::esmm;
  Preset preset = Preset::none;
  std::int64_t dim = 12;
  std::vector<std::int64_t> hidden{200, 80};
  Activation activation = Activation::prelu;
  float dropout = 0.0F;
  Pooling pooling = Pooling::weighted_sum;
  ValueTransform value_transform = ValueTransform::raw;
  float value_clip = 10.0F;  // for value_transform = clipped
  Initialiser embedding_init = Initialiser::truncated_normal;
  float embedding_stddev = 1e-3F;
  float ctr_weight = 1.0F, ctcvr_weight = 1.0F;  // of the first and the second head's loss
  float aman_rate = 0.1F, oversampling_rate = 5.0F, unbias_floor = 0.02F, aux_weight = 1.0F;
  Unbias unbias = Unbias::rejection;
  std::map<std::string, FieldConfig> fields;  // TOML only: [fields."109_14"] pooling = "mean"

  // Training
  std::int64_t epochs = 1;
  std::int64_t batch_size = 5000;
  OptimizerKind optimizer = OptimizerKind::adam;  // tables
  std::optional<OptimizerKind> tower_optimizer;   // default: as the tables (row-wise Adagrad → Adagrad)
  float lr = 1e-3F;
  std::optional<float> tower_lr;  // default: lr
  Schedule schedule = Schedule::constant;
  std::int64_t warmup_steps = 0;    // linear from lr/warmup_steps; then the schedule
  std::int64_t schedule_steps = 0;  // cosine: length (0: the whole run); step: steps between decays
  float schedule_decay = 0.1F;      // step: factor; cosine: final fraction of lr
  float beta1 = 0.9F, beta2 = 0.999F, epsilon = 1e-8F;
  float initial_accumulator = 0.0F;
  float ftrl_beta = 1.0F, ftrl_l1 = 0.0F, ftrl_l2 = 0.0F;
  float embedding_l2 = 0.0F, tower_l2 = 0.0F;
  float clip_norm = 0.0F;    // global gradient norm; 0: off
  bool clip_tables = false;  // include the tables' gradients in the norm and the clipping
  OnNonfinite on_nonfinite = OnNonfinite::error;
  std::string early_stopping;         // a valid metric, e.g. "ctcvr_auc"; empty: off
  std::int64_t patience = 1;          // evaluations without improvement before stopping
  std::int64_t eval_every = 0;        // steps; 0: after each epoch
  std::int64_t log_every = 100;       // steps
  std::int64_t checkpoint_every = 0;  // steps; 0: after each epoch
  std::int64_t keep_checkpoints = 2;
  Tensorboard tensorboard = Tensorboard::on;

  // System
  std::string device = "auto";
  int threads = 0;
  std::uint64_t seed = 1;
  Precision precision = Precision::fp32;
  TowerKernels towers = TowerKernels::measured;
  Resident resident = Resident::automatic;
  std::string log_level = "info";
  friend bool operator==(const Config&, const Config&) = default;
};

/// The towers' optimizer and learning rate after defaults are applied.
[[nodiscard]] OptimizerKind tower_optimizer(const Config& config);
[[nodiscard]] OptimizerConfig optimizer_config(const Config& config, OptimizerKind kind);

/// Throws Error (usage) naming the flag and the remedy: non-positive sizes, dropout outside [0, 1), unknown metric, …
void validate(const Config& config);

/// What was typed for one flag: {"batch-size", "4096"}.
struct FlagValue {
  std::string flag, value;
};
/// Defaults, then the preset (named by a flag, else by the file), then the file (empty: none), then the flags; valid.
/// Throws Error: io when the file cannot be read, usage for what is in it.
[[nodiscard]] Config resolve_config(const std::string& file, const std::vector<FlagValue>& flags);

/// Overwrites members from TOML text, its preset first; unknown keys are usage errors with file, line and the nearest
/// known key.
void apply_toml(Config& config, const std::string& text, const std::string& name_for_errors);
/// Overwrites one member from the text of its flag ("batch-size", "4096").
void apply_flag(Config& config, const std::string& flag, const std::string& value);
/// Overwrites the members that a preset decides (preset itself included).
void apply_preset(Config& config, Preset preset);
/// The resolved configuration: `apply_toml` of it gives an equal Config.
[[nodiscard]] std::string to_toml(const Config& config);

/// One option, for building the command line and the documentation.
struct OptionInfo {
  std::string flag;   // "batch-size"
  std::string group;  // "Data", "Model", "Training", "System"
  std::string value;  // placeholder or choices: "N", "adam|sgd|…"
  std::string help;   // one line, with the default
  bool is_switch = false;
};
[[nodiscard]] std::vector<OptionInfo> describe_options();

}  // namespace esmm
