// Text to values and back, for every type that an option may have.
#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "engine/config_options.hpp"
#include "kernels/error.hpp"

namespace esmm {

namespace {

template <class T>
void parse_number(std::string_view text, const std::string& where, T& out) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) {
    throw usage_error("{}: {} is out of the range of a {}-bit float.", where, text, 8 * sizeof(T));
  }
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) {
    throw usage_error("{}: \"{}\" is not a number. Give one such as 0.001 or 1e-3.", where, text);
  }
  out = value;
}

template <class T>
void parse_integer(std::string_view text, const std::string& where, T& out) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) {
    throw usage_error("{}: {} is out of range: give at most {}.", where, text, std::numeric_limits<T>::max());
  }
  if (error != std::errc{} || end != text.data() + text.size()) {
    const bool negative = std::is_unsigned_v<T> && text.starts_with('-');
    throw usage_error("{}: \"{}\" is not {}. Give a number such as 1000.", where, text,
                      negative ? "a whole number from 0" : "a whole number");
  }
  out = value;
}

template <class E>
requires std::is_enum_v<E> std::optional<std::string> to_text(E value) {
  return std::string(name_of(value));
}
std::optional<std::string> to_text(const std::string& value) {
  return value;
}
std::optional<std::string> to_text(bool value) {
  return value ? "true" : "false";
}
template <class T>
requires std::is_arithmetic_v<T> std::optional<std::string> to_text(T value) {
  return fmt::format("{}", value);  // of a float: the shortest text that reads back as the same float
}
std::optional<std::string> to_text(const std::vector<std::int64_t>& values) {
  return fmt::format("{}", fmt::join(values, ", "));
}
template <class T>
std::optional<std::string> to_text(const std::optional<T>& value) {
  return value ? to_text(*value) : std::nullopt;
}

ValueType type_of(bool) {
  return ValueType::boolean;
}
ValueType type_of(float) {
  return ValueType::number;
}
template <class T>
requires(std::is_integral_v<T> && !std::is_same_v<T, bool>) ValueType type_of(T) {
  return ValueType::integer;
}
template <class E>
requires std::is_enum_v<E> ValueType type_of(E) {
  return ValueType::string;
}
ValueType type_of(const std::string&) {
  return ValueType::string;
}
ValueType type_of(const std::vector<std::int64_t>&) {
  return ValueType::integers;
}
template <class T>
ValueType type_of(const std::optional<T>&) {
  return type_of(T{});
}

template <class T>
Choices choices_of(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return choices(value);
  } else {
    return {};
  }
}
Choices choices_of(const std::optional<OptimizerKind>&) {
  return choices(OptimizerKind{});
}

}  // namespace

void parse_value(std::string_view text, const std::string&, std::string& out) {
  out = text;
}
void parse_value(std::string_view text, const std::string& where, bool& out) {
  if (text != "true" && text != "false") throw usage_error("{}: \"{}\" is neither true nor false.", where, text);
  out = text == "true";
}
void parse_value(std::string_view text, const std::string& where, float& out) {
  parse_number(text, where, out);
}
void parse_value(std::string_view text, const std::string& where, double& out) {
  parse_number(text, where, out);
}
void parse_value(std::string_view text, const std::string& where, int& out) {
  parse_integer(text, where, out);
}
void parse_value(std::string_view text, const std::string& where, std::uint32_t& out) {
  parse_integer(text, where, out);
}
void parse_value(std::string_view text, const std::string& where, std::uint64_t& out) {
  parse_integer(text, where, out);
}
void parse_value(std::string_view text, const std::string& where, std::int64_t& out) {
  parse_integer(text, where, out);
}
void parse_value(std::string_view text, const std::string& where, std::vector<std::int64_t>& out) {
  std::vector<std::int64_t> values;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    std::string_view item = text.substr(begin, comma - begin);
    item.remove_prefix(std::min(item.find_first_not_of(' '), item.size()));
    parse_integer(item, where, values.emplace_back());
    begin = comma + 1;
  }
  out = std::move(values);
}

std::size_t parse_choice(std::string_view text, const std::string& where, Choices names) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == text) return i;
  }
  throw usage_error("{}: there is no \"{}\". Choose {}.", where, text, joined(names));
}

void set_option(Config& config, const Option& option, std::string_view text, const std::string& where) {
  std::visit([&](auto member) { parse_value(text, where, config.*member); }, option.member);
}

std::optional<std::string> get_option(const Config& config, const Option& option) {
  return std::visit([&](auto member) { return to_text(config.*member); }, option.member);
}

Choices option_choices(const Option& option) {
  const Config defaults;
  return std::visit([&](auto member) { return choices_of(defaults.*member); }, option.member);
}

ValueType value_type(const Option& option) {
  const Config defaults;
  return std::visit([&](auto member) { return type_of(defaults.*member); }, option.member);
}

}  // namespace esmm
