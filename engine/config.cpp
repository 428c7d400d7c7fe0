#include "engine/config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "engine/config_options.hpp"
#include "engine/config_toml.hpp"
#include "io/file.hpp"
#include "kernels/error.hpp"

namespace esmm {

namespace {

std::string flag_of(std::string_view key) {
  std::string flag(key);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

std::string key_of(std::string_view flag) {
  std::string key(flag);
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

template <class T>
void require_at_least(const char* flag, T value, T least) {
  if (value < least) throw usage_error("--{}: {} is too small. Give {} or more.", flag, value, least);
}
template <class T>
void require_at_most(const char* flag, T value, T most) {
  if (value > most) throw usage_error("--{}: {} is too large. Give {} or less.", flag, value, most);
}
void require_positive(const char* flag, float value) {
  if (!(value > 0)) throw usage_error("--{}: {} is not above 0.", flag, value);
}
void require_fraction(const char* flag, float value) {
  if (!(value >= 0 && value < 1)) throw usage_error("--{}: {} is not in [0, 1).", flag, value);
}
void require_among(const char* flag, const std::string& value, Choices names) {
  static_cast<void>(parse_choice(value, fmt::format("--{}", flag), names));
}

constexpr std::uint64_t kLargestFile = 1 << 20;  // of a configuration
constexpr std::int64_t kWidest = 1 << 20;        // far beyond any use; products of sizes stay within 64 bits

void validate_data(const Config& c) {
  require_at_least("min-count", c.min_count, 1U);
  require_at_least("buckets", c.buckets, 1U);
  require_at_least<std::int64_t>("window-mb", c.window_mb, 1);
  require_at_most<std::int64_t>("window-mb", c.window_mb, 1LL << 30);
}

void validate_model(const Config& c) {
  require_at_least<std::int64_t>("dim", c.dim, 1);
  require_at_most<std::int64_t>("dim", c.dim, kWidest);
  if (c.hidden.empty()) throw usage_error("--hidden: give at least one width, e.g. --hidden 200,80.");
  for (const std::int64_t width : c.hidden) {
    require_at_least<std::int64_t>("hidden", width, 1);
    require_at_most<std::int64_t>("hidden", width, kWidest);
  }
  require_fraction("dropout", c.dropout);
  require_positive("value-clip", c.value_clip);
  require_at_least("embedding-stddev", c.embedding_stddev, 0.0F);
  require_at_least("ctr-weight", c.ctr_weight, 0.0F);
  require_at_least("ctcvr-weight", c.ctcvr_weight, 0.0F);
  if (c.ctr_weight == 0 && c.ctcvr_weight == 0) {
    throw usage_error("--ctr-weight and --ctcvr-weight are both 0: nothing would be learnt. Raise one of them.");
  }
  require_at_least("aman-rate", c.aman_rate, 0.0F);
  require_at_most("aman-rate", c.aman_rate, 1.0F);
  require_at_least("oversampling-rate", c.oversampling_rate, 1.0F);
  require_positive("unbias-floor", c.unbias_floor);
  require_at_most("unbias-floor", c.unbias_floor, 1.0F);
  require_at_least("aux-weight", c.aux_weight, 0.0F);
  if (!method(c.model).shared_tables && c.optimizer == OptimizerKind::rowwise_adagrad) {
    throw usage_error(
        "--optimizer: rowwise_adagrad would join the two towers of --model {}, whose tables are not shared. Choose "
        "adagrad.",
        name_of(c.model));
  }
  for (const auto& [name, field] : c.fields) {
    if (field.clip && !(*field.clip > 0))
      throw usage_error("[fields.\"{}\"] clip: {} is not above 0.", name, *field.clip);
  }
}

void validate_training(const Config& c) {
  require_at_least<std::int64_t>("epochs", c.epochs, 1);
  require_at_least<std::int64_t>("batch-size", c.batch_size, 1);
  require_at_most<std::int64_t>("epochs", c.epochs, 1'000'000);
  require_at_most<std::int64_t>("batch-size", c.batch_size, 1LL << 24);
  require_positive("lr", c.lr);
  if (c.tower_lr) require_positive("tower-lr", *c.tower_lr);
  if (c.tower_optimizer == OptimizerKind::rowwise_adagrad || c.tower_optimizer == OptimizerKind::ftrl) {
    throw usage_error("--tower-optimizer: {} is for tables only. Choose sgd, adagrad or adam.",
                      name_of(*c.tower_optimizer));
  }
  require_at_least<std::int64_t>("warmup-steps", c.warmup_steps, 0);
  require_at_least<std::int64_t>("schedule-steps", c.schedule_steps, c.schedule == Schedule::step ? 1 : 0);
  if (c.optimizer == OptimizerKind::ftrl && c.schedule != Schedule::constant && c.schedule_decay == 0) {
    throw usage_error("--schedule-decay: ftrl divides by the learning rate, which must not reach 0. Give more than 0.");
  }
  if (!(c.schedule_decay >= 0 && c.schedule_decay <= 1)) {
    throw usage_error("--schedule-decay: {} is not in [0, 1].", c.schedule_decay);
  }
  require_fraction("beta1", c.beta1);
  require_fraction("beta2", c.beta2);
  require_positive("epsilon", c.epsilon);
  require_at_least("initial-accumulator", c.initial_accumulator, 0.0F);
  require_at_least("ftrl-beta", c.ftrl_beta, 0.0F);
  require_at_least("ftrl-l1", c.ftrl_l1, 0.0F);
  require_at_least("ftrl-l2", c.ftrl_l2, 0.0F);
  require_at_least("embedding-l2", c.embedding_l2, 0.0F);
  require_at_least("tower-l2", c.tower_l2, 0.0F);
  require_at_least("clip-norm", c.clip_norm, 0.0F);
  if (c.clip_tables && c.clip_norm == 0) throw usage_error("--clip-tables: needs --clip-norm above 0.");
}

void validate_evaluation(const Config& c) {
  static constexpr std::array<std::string_view, 6> metrics{"ctr_auc",     "cvr_auc",     "ctcvr_auc",
                                                           "ctr_logloss", "cvr_logloss", "ctcvr_logloss"};
  if (!c.early_stopping.empty()) require_among("early-stopping", c.early_stopping, metrics);
  require_at_least<std::int64_t>("patience", c.patience, 1);
  require_at_least<std::int64_t>("eval-every", c.eval_every, 0);
  require_at_least<std::int64_t>("log-every", c.log_every, 1);
  require_at_least<std::int64_t>("checkpoint-every", c.checkpoint_every, 0);
  require_at_least<std::int64_t>("keep-checkpoints", c.keep_checkpoints, 1);
}

void validate_system(const Config& c) {
  static constexpr std::array<std::string_view, 4> levels{"debug", "info", "warn", "error"};
  const std::string_view device = c.device;
  const std::string_view card = device.starts_with("cuda:") ? device.substr(5) : "";
  const bool numbered = !card.empty() && card.size() <= 3 && card.find_first_not_of("0123456789") == card.npos;
  if (device != "auto" && device != "cpu" && device != "cuda" && !numbered) {
    throw usage_error("--device: there is no \"{}\". Choose auto, cpu, cuda or cuda:N.", device);
  }
  require_at_least("threads", c.threads, 0);
  if (c.threads > 1024)
    throw usage_error("--threads: {} is too many. Give at most 1024, or 0 for one per core.", c.threads);
  if (c.seed >> 63 != 0) throw usage_error("--seed: {} is too large. Give a number below 2^63.", c.seed);
  require_among("log-level", c.log_level, levels);
}

}  // namespace

OptimizerKind tower_optimizer(const Config& config) {
  if (config.tower_optimizer) return *config.tower_optimizer;
  // Row-wise Adagrad needs rows. FTRL solves for a weight from its gradients alone, which forgets the towers' initial
  // values in the first step and leaves all units equal: dead.
  const bool for_tables_only =
      config.optimizer == OptimizerKind::rowwise_adagrad || config.optimizer == OptimizerKind::ftrl;
  return for_tables_only ? OptimizerKind::adagrad : config.optimizer;
}

OptimizerConfig optimizer_config(const Config& config, OptimizerKind kind) {
  return {.kind = kind,
          .beta1 = config.beta1,
          .beta2 = config.beta2,
          .epsilon = config.epsilon,
          .initial_accumulator = config.initial_accumulator,
          .ftrl_beta = config.ftrl_beta,
          .ftrl_l1 = config.ftrl_l1,
          .ftrl_l2 = config.ftrl_l2};
}

void validate(const Config& config) {
  validate_data(config);
  validate_model(config);
  validate_training(config);
  validate_evaluation(config);
  validate_system(config);
}

void apply_flag(Config& config, const std::string& flag, const std::string& value) {
  const Option* option = find_option(key_of(flag));
  if (option == nullptr) throw usage_error("--{}: no such option.", flag);
  set_option(config, *option, value, "--" + flag);
}

void apply_preset(Config& config, Preset preset) {
  config.preset = preset;
  if (preset == Preset::none) return;
  const bool paper = preset == Preset::paper;
  const Config released;
  config.dim = paper ? 18 : released.dim;
  config.activation = paper ? Activation::relu : released.activation;
  // What both agree on, or the paper leaves open.
  config.hidden = released.hidden;
  config.pooling = released.pooling;
  config.value_transform = released.value_transform;
  config.embedding_init = released.embedding_init;
  config.embedding_stddev = released.embedding_stddev;
  config.batch_size = released.batch_size;
  config.optimizer = released.optimizer;
  config.tower_optimizer = released.tower_optimizer;
  config.lr = released.lr;
  config.beta1 = released.beta1;
  config.beta2 = released.beta2;
  config.epsilon = released.epsilon;
}

Config resolve_config(const std::string& file, const std::vector<FlagValue>& flags) {
  const auto preset = std::find_if(flags.begin(), flags.end(), [](const FlagValue& f) { return f.flag == "preset"; });
  Config config;
  if (preset != flags.end()) {
    apply_flag(config, preset->flag, preset->value);
    apply_preset(config, config.preset);
  }
  if (!file.empty()) {
    apply_toml(config, read_file(file, kLargestFile), file,
               preset == flags.end() ? PresetKey::apply : PresetKey::ignore);
  }
  for (const FlagValue& f : flags) apply_flag(config, f.flag, f.value);
  validate(config);
  return config;
}

std::vector<OptionInfo> describe_options() {
  std::vector<OptionInfo> infos;
  const Config defaults;
  for (const Option& option : options()) {
    OptionInfo info{.flag = flag_of(option.key),
                    .group = std::string(option.group),
                    .value = std::string(option.value),
                    .help = std::string(option.help),
                    .is_switch = value_type(option) == ValueType::boolean};
    if (option.value.empty() && !info.is_switch) info.value = joined(option_choices(option));
    const std::optional<std::string> value = get_option(defaults, option);
    if (value && !value->empty() && !info.is_switch) info.help += fmt::format(" [{}]", *value);
    infos.push_back(std::move(info));
  }
  return infos;
}

}  // namespace esmm
