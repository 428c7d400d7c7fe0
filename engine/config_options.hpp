#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "engine/config.hpp"
#include "io/synth.hpp"

namespace esmm {

/// A member of Config that is set by one option.
using ConfigMember =
    std::variant<std::string Config::*, bool Config::*, int Config::*, std::uint32_t Config::*, std::uint64_t Config::*,
                 std::int64_t Config::*, float Config::*, std::optional<float> Config::*,
                 std::vector<std::int64_t> Config::*, Encoding Config::*, OnBadRow Config::*, OnContradiction Config::*,
                 OnNonfinite Config::*, Shuffle Config::*, ModelKind Config::*, Unbias Config::*, Preset Config::*,
                 Activation Config::*, Pooling Config::*, ValueTransform Config::*, Initialiser Config::*,
                 OptimizerKind Config::*, std::optional<OptimizerKind> Config::*, Schedule Config::*,
                 Precision Config::*, TowerKernels Config::*, Resident Config::*, Tensorboard Config::*>;

/// One option: the flag `--batch-size` and the TOML key `batch_size` are both made from `key`.
struct Option {
  std::string_view key;
  std::string_view group;
  std::string_view value;  // placeholder; empty: the choices of the enumeration
  std::string_view help;   // without the default, which is appended
  ConfigMember member;
};

/// THE list of options: flags, TOML reading and writing, and the documentation all come from it.
[[nodiscard]] std::span<const Option> options();
[[nodiscard]] const Option* find_option(std::string_view key);

/// The names of an enumeration's values, in the order of the enumerators.
using Choices = std::span<const std::string_view>;
[[nodiscard]] Choices choices(Encoding);
[[nodiscard]] Choices choices(OnBadRow);
[[nodiscard]] Choices choices(OnContradiction);
[[nodiscard]] Choices choices(OnNonfinite);
[[nodiscard]] Choices choices(Shuffle);
[[nodiscard]] Choices choices(ModelKind);
[[nodiscard]] Choices choices(Unbias);
[[nodiscard]] Choices choices(Preset);
[[nodiscard]] Choices choices(Activation);
[[nodiscard]] Choices choices(Pooling);
[[nodiscard]] Choices choices(ValueTransform);
[[nodiscard]] Choices choices(Initialiser);
[[nodiscard]] Choices choices(OptimizerKind);
[[nodiscard]] Choices choices(Schedule);
[[nodiscard]] Choices choices(Precision);
[[nodiscard]] Choices choices(TowerKernels);
[[nodiscard]] Choices choices(Resident);
[[nodiscard]] Choices choices(Tensorboard);
[[nodiscard]] Choices choices(SynthProfile);

template <class E>
[[nodiscard]] std::string_view name_of(E value) {
  return choices(value)[static_cast<std::size_t>(value)];
}
/// The choices of an option whose member is an enumeration; else empty.
[[nodiscard]] Choices option_choices(const Option& option);

/// "adam|sgd|…"
[[nodiscard]] std::string joined(Choices names);

/// Sets one member from text. `where` begins the message: "--batch-size" or "run.toml:12: batch_size".
/// Throws Error (usage) naming what was expected.
void set_option(Config& config, const Option& option, std::string_view text, const std::string& where);
/// The member as text that `set_option` takes; nullopt for an optional that is unset.
[[nodiscard]] std::optional<std::string> get_option(const Config& config, const Option& option);
/// How the member is written in TOML.
enum class ValueType { string, boolean, integer, number, integers };
[[nodiscard]] ValueType value_type(const Option& option);

/// The parsers behind `set_option`, for settings outside Config. Each throws Error (usage) beginning with `where`.
void parse_value(std::string_view text, const std::string& where, std::string& out);
void parse_value(std::string_view text, const std::string& where, bool& out);
void parse_value(std::string_view text, const std::string& where, float& out);
void parse_value(std::string_view text, const std::string& where, double& out);
void parse_value(std::string_view text, const std::string& where, int& out);
void parse_value(std::string_view text, const std::string& where, std::uint32_t& out);
void parse_value(std::string_view text, const std::string& where, std::uint64_t& out);
void parse_value(std::string_view text, const std::string& where, std::int64_t& out);
void parse_value(std::string_view text, const std::string& where, std::vector<std::int64_t>& out);
/// The position of `text` among `names`.
[[nodiscard]] std::size_t parse_choice(std::string_view text, const std::string& where, Choices names);
template <class E>
requires std::is_enum_v<E>
void parse_value(std::string_view text, const std::string& where, E& out) {
  out = static_cast<E>(parse_choice(text, where, choices(E{})));
}
template <class T>
void parse_value(std::string_view text, const std::string& where, std::optional<T>& out) {
  parse_value(text, where, out.emplace());
}

}  // namespace esmm
