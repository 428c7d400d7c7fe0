#include "engine/config_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace esmm {

namespace {

constexpr std::string_view kData = "Data", kModel = "Model", kTraining = "Training", kSystem = "System";

const std::vector<Option>& table() {
  static const std::vector<Option> list{
      {"data", kData, "PATH", "packed dataset, Ali-CCP directory, or .csv, .tsv, .txt or .parquet log", &Config::data},
      {"valid", kData, "PATH", "data to evaluate on; else the test half of --data where there is one", &Config::valid},
      {"out", kData, "RUN", "run directory to create; else runs/<time>-<model>", &Config::out},
      {"schema", kData, "FILE.toml", "what the columns of a CSV, TSV or Parquet file mean; else guessed",
       &Config::schema},
      {"vocab", kData, "DIR", "encode raw data with the vocabulary of this packed dataset, run or vocab/ directory",
       &Config::vocab},
      {"min_count", kData, "N", "impressions in which an id must occur to get an embedding row of its own",
       &Config::min_count},
      {"encoding", kData, "", "rows for counted ids, or for hashes of ids", &Config::encoding},
      {"buckets", kData, "N", "embedding rows per table with --encoding hash", &Config::buckets},
      {"on_bad_row", kData, "", "stop at a row that cannot be parsed, or count and skip it", &Config::on_bad_row},
      {"on_contradiction", kData, "", "what to do with conversions without click", &Config::on_contradiction},
      {"shuffle", kData, "", "what stays together when an epoch is shuffled", &Config::shuffle},
      {"window_mb", kData, "MB", "decoded data that is shuffled together", &Config::window_mb},

      {"model", kModel, "", "method to train; docs/maths.md defines them", &Config::model},
      {"preset", kModel, "", "start from the authors' released code, or from the paper", &Config::preset},
      {"dim", kModel, "N", "width of an embedding", &Config::dim},
      {"hidden", kModel, "N,N,...", "widths of each tower's hidden layers", &Config::hidden},
      {"activation", kModel, "", "of the hidden layers", &Config::activation},
      {"dropout", kModel, "P", "share of hidden units that are dropped in training", &Config::dropout},
      {"pooling", kModel, "", "of a field with several ids", &Config::pooling},
      {"value_transform", kModel, "", "what an id's value becomes before it weighs its embedding",
       &Config::value_transform},
      {"value_clip", kModel, "X", "bound of |value| with --value-transform clipped", &Config::value_clip},
      {"embedding_init", kModel, "", "first values of the embedding tables", &Config::embedding_init},
      {"embedding_stddev", kModel, "X", "standard deviation of those values", &Config::embedding_stddev},
      {"ctr_weight", kModel, "X", "weight of the click loss", &Config::ctr_weight},
      {"ctcvr_weight", kModel, "X", "weight of the second head's loss (CTCVR; CVR where the method trains on clicks)",
       &Config::ctcvr_weight},
      {"aman_rate", kModel, "P", "aman: share of impressions without a click that are taken as negatives",
       &Config::aman_rate},
      {"oversampling_rate", kModel, "X", "oversampling: how often a conversion counts", &Config::oversampling_rate},
      {"unbias", kModel, "", "unbias: keep clicks with probability min(1, floor / pCTR), or weigh them with it",
       &Config::unbias},
      {"unbias_floor", kModel, "P", "unbias: the pCTR up to which every click counts fully", &Config::unbias_floor},
      {"aux_weight", kModel, "X", "esmm_aux: weight of its loss of pCVR over clicks", &Config::aux_weight},

      {"epochs", kTraining, "N", "passes over the data", &Config::epochs},
      {"batch_size", kTraining, "N", "impressions per step", &Config::batch_size},
      {"optimizer", kTraining, "", "of the embedding tables", &Config::optimizer},
      {"tower_optimizer", kTraining, "", "of the towers; else as the tables (adagrad with rowwise_adagrad and ftrl)",
       &Config::tower_optimizer},
      {"lr", kTraining, "X", "learning rate", &Config::lr},
      {"tower_lr", kTraining, "X", "learning rate of the towers; else --lr", &Config::tower_lr},
      {"schedule", kTraining, "", "of the learning rate, after the warm-up", &Config::schedule},
      {"warmup_steps", kTraining, "N", "steps in which the learning rate rises linearly", &Config::warmup_steps},
      {"schedule_steps", kTraining, "N", "cosine: its length, 0 for the whole run; step: steps between decays",
       &Config::schedule_steps},
      {"schedule_decay", kTraining, "X", "step: factor per decay; cosine: final fraction of the learning rate",
       &Config::schedule_decay},
      {"beta1", kTraining, "X", "Adam: decay of the first moment", &Config::beta1},
      {"beta2", kTraining, "X", "Adam: decay of the second moment", &Config::beta2},
      {"epsilon", kTraining, "X", "Adam, Adagrad: added to the denominator", &Config::epsilon},
      {"initial_accumulator", kTraining, "X", "Adagrad, FTRL: first value of the squared-gradient sum",
       &Config::initial_accumulator},
      {"ftrl_beta", kTraining, "X", "FTRL: beta (alpha is the learning rate)", &Config::ftrl_beta},
      {"ftrl_l1", kTraining, "X", "FTRL: lambda 1", &Config::ftrl_l1},
      {"ftrl_l2", kTraining, "X", "FTRL: lambda 2", &Config::ftrl_l2},
      {"embedding_l2", kTraining, "X", "weight decay of touched embedding rows", &Config::embedding_l2},
      {"tower_l2", kTraining, "X", "weight decay of the towers", &Config::tower_l2},
      {"clip_norm", kTraining, "X", "largest norm of the towers' gradient; 0: no clipping", &Config::clip_norm},
      {"clip_tables", kTraining, "", "include the tables' gradients in that norm and clip them too",
       &Config::clip_tables},
      {"on_nonfinite", kTraining, "", "stop at a loss or gradient that is not finite, or count and skip the step",
       &Config::on_nonfinite},
      {"early_stopping", kTraining, "METRIC", "stop when this metric of --valid no longer improves, e.g. ctcvr_auc",
       &Config::early_stopping},
      {"patience", kTraining, "N", "evaluations without improvement before that", &Config::patience},
      {"eval_every", kTraining, "N", "steps between evaluations; 0: after each epoch", &Config::eval_every},
      {"log_every", kTraining, "N", "steps between log lines", &Config::log_every},
      {"checkpoint_every", kTraining, "N", "steps between checkpoints; 0: after each epoch", &Config::checkpoint_every},
      {"keep_checkpoints", kTraining, "N", "checkpoints to keep", &Config::keep_checkpoints},
      {"tensorboard", kTraining, "", "write event files for TensorBoard into the run", &Config::tensorboard},

      {"device", kSystem, "auto|cpu|cuda|cuda:N", "where to compute", &Config::device},
      {"threads", kSystem, "N", "CPU threads; 0: one per core", &Config::threads},
      {"seed", kSystem, "S", "of everything random; the same seed gives the same bytes", &Config::seed},
      {"precision", kSystem, "", "of the towers' products", &Config::precision},
      {"towers", kSystem, "", "which CUDA kernels compute them; measured: the faster", &Config::towers},
      {"resident", kSystem, "", "keep the dataset's ids in the GPU's memory; auto: if they fit, for 2 epochs or more",
       &Config::resident},
      {"log_level", kSystem, "debug|info|warn|error", "what is written to stderr", &Config::log_level},
  };
  return list;
}

}  // namespace

std::span<const Option> options() {
  return table();
}

const Option* find_option(std::string_view key) {
  const auto found = std::find_if(table().begin(), table().end(), [&](const Option& o) { return o.key == key; });
  return found == table().end() ? nullptr : &*found;
}

Choices choices(Encoding) {
  static constexpr std::array<std::string_view, 2> names{"vocab", "hash"};
  return names;
}
Choices choices(OnBadRow) {
  static constexpr std::array<std::string_view, 2> names{"error", "skip"};
  return names;
}
Choices choices(OnContradiction) {
  static constexpr std::array<std::string_view, 3> names{"drop", "error", "keep"};
  return names;
}
Choices choices(OnNonfinite) {
  static constexpr std::array<std::string_view, 2> names{"error", "skip"};
  return names;
}
Choices choices(Shuffle) {
  static constexpr std::array<std::string_view, 3> names{"common_row", "impression", "none"};
  return names;
}
Choices choices(ModelKind) {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> list;
    for (const Method& method : methods()) list.push_back(method.name);
    return list;
  }();
  return names;
}
Choices choices(Unbias) {
  static constexpr std::array<std::string_view, 2> names{"rejection", "weights"};
  return names;
}
Choices choices(Preset) {
  static constexpr std::array<std::string_view, 3> names{"none", "released", "paper"};
  return names;
}
Choices choices(Activation) {
  static constexpr std::array<std::string_view, 2> names{"relu", "prelu"};
  return names;
}
Choices choices(Pooling) {
  static constexpr std::array<std::string_view, 4> names{"weighted_sum", "sum", "mean", "sqrtn"};
  return names;
}
Choices choices(ValueTransform) {
  static constexpr std::array<std::string_view, 3> names{"raw", "log1p", "clipped"};
  return names;
}
Choices choices(Initialiser) {
  static constexpr std::array<std::string_view, 3> names{"truncated_normal", "normal", "uniform"};
  return names;
}
Choices choices(OptimizerKind) {
  static constexpr std::array<std::string_view, 5> names{"sgd", "adagrad", "rowwise_adagrad", "adam", "ftrl"};
  return names;
}
Choices choices(Schedule) {
  static constexpr std::array<std::string_view, 3> names{"constant", "cosine", "step"};
  return names;
}
Choices choices(Precision) {
  static constexpr std::array<std::string_view, 2> names{"fp32", "bf16"};
  return names;
}
Choices choices(TowerKernels) {
  static constexpr std::array<std::string_view, 3> names{"measured", "chain", "fused"};
  return names;
}
Choices choices(Tensorboard) {
  static constexpr std::array<std::string_view, 2> names{"on", "off"};
  return names;
}
Choices choices(Resident) {
  static constexpr std::array<std::string_view, 3> names{"auto", "on", "off"};
  return names;
}
Choices choices(SynthProfile) {
  static constexpr std::array<std::string_view, 2> names{"small", "ali-ccp"};
  return names;
}

std::string joined(Choices names) {
  return fmt::format("{}", fmt::join(names, "|"));
}

}  // namespace esmm
