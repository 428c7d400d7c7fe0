#include "engine/config_toml.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>

#include "engine/config_options.hpp"
#include "io/messages.hpp"
#include "kernels/error.hpp"

namespace esmm {

namespace {

constexpr const char* kFields = "fields";

/// "run.toml:12: batch_size"
std::string position(const std::string& file, const toml::source_region& source, std::string_view key) {
  return fmt::format("{}:{}: {}", file, source.begin.line, key);
}

std::string_view type_name(const toml::node& node) {
  if (node.is_string()) return "a string";
  if (node.is_integer()) return "an integer";
  if (node.is_floating_point()) return "a decimal number";
  if (node.is_boolean()) return "a boolean";
  if (node.is_array()) return "an array";
  if (node.is_table()) return "a table";
  return "a date or time";
}

std::string_view type_name(ValueType type) {
  switch (type) {
    case ValueType::string:
      return "a string";
    case ValueType::boolean:
      return "true or false";
    case ValueType::integer:
      return "an integer";
    case ValueType::number:
      return "a number";
    case ValueType::integers:
      return "an array of integers";
  }
  return "";
}

std::optional<std::string> integers_as_text(const toml::array& array) {
  std::vector<std::int64_t> values;
  for (const toml::node& element : array) {
    if (!element.is_integer()) return std::nullopt;
    values.push_back(element.as_integer()->get());
  }
  return fmt::format("{}", fmt::join(values, ", "));
}

/// The node as the text of the same flag, or nullopt when its type is not `type`.
std::optional<std::string> as_text(const toml::node& node, ValueType type) {
  switch (type) {
    case ValueType::string:
      if (node.is_string()) return node.as_string()->get();
      break;
    case ValueType::boolean:
      if (node.is_boolean()) return node.as_boolean()->get() ? "true" : "false";
      break;
    case ValueType::number:
      if (node.is_floating_point()) return fmt::format("{}", node.as_floating_point()->get());
      [[fallthrough]];
    case ValueType::integer:
      if (node.is_integer()) return fmt::format("{}", node.as_integer()->get());
      break;
    case ValueType::integers:
      if (node.is_array()) return integers_as_text(*node.as_array());
      break;
  }
  return std::nullopt;
}

std::string typed_text(const toml::node& node, ValueType type, const std::string& where) {
  std::optional<std::string> text = as_text(node, type);
  if (!text) throw usage_error("{}: needs {}, not {}.", where, type_name(type), type_name(node));
  return *std::move(text);
}

Error unknown_key(const std::string& where, std::string_view key, const std::vector<std::string>& known) {
  return usage_error("{}: no such key. {}", where, did_you_mean(key, known, "See docs/cli.md for all keys."));
}

void apply_field(FieldConfig& field, const toml::table& settings, const std::string& file) {
  for (const auto& [key, node] : settings) {
    const std::string where = position(file, key.source(), key.str());
    if (key == "pooling") {
      parse_value(typed_text(node, ValueType::string, where), where, field.pooling);
    } else if (key == "transform") {
      parse_value(typed_text(node, ValueType::string, where), where, field.transform);
    } else if (key == "clip") {
      parse_value(typed_text(node, ValueType::number, where), where, field.clip);
    } else {
      throw unknown_key(where, key.str(), {"pooling", "transform", "clip"});
    }
  }
}

void apply_fields(Config& config, const toml::node& node, const std::string& where, const std::string& file) {
  if (!node.is_table())
    throw usage_error("{}: needs a table such as [fields.\"109_14\"], not {}.", where, type_name(node));
  for (const auto& [name, settings] : *node.as_table()) {
    if (!settings.is_table()) {
      throw usage_error("{}: needs a table of pooling, transform and clip.", position(file, name.source(), name.str()));
    }
    apply_field(config.fields[std::string(name.str())], *settings.as_table(), file);
  }
}

void apply_key(Config& config, const toml::key& key, const toml::node& node, const std::string& file) {
  const std::string where = position(file, key.source(), key.str());
  if (key == kFields) return apply_fields(config, node, where, file);
  const Option* option = find_option(key.str());
  if (option == nullptr) {
    std::vector<std::string> known{kFields};
    for (const Option& o : options()) known.emplace_back(o.key);
    throw unknown_key(where, key.str(), known);
  }
  set_option(config, *option, typed_text(node, value_type(*option), where), where);
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\u{:04X}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string toml_value(const std::string& text, ValueType type) {
  if (type == ValueType::string) return quoted(text);
  if (type == ValueType::integers) return '[' + text + ']';
  const bool whole = text.find_first_not_of("-0123456789") == std::string::npos;
  return type == ValueType::number && whole ? text + ".0" : text;
}

}  // namespace

void apply_toml(Config& config, const std::string& text, const std::string& name_for_errors, PresetKey preset) {
  toml::table table;
  try {
    table = toml::parse(text, name_for_errors);
  } catch (const toml::parse_error& error) {
    throw usage_error("{}:{}: not valid TOML: {}.", name_for_errors, error.source().begin.line, error.description());
  }
  const auto apply = [&](const toml::key& key, const toml::node& node) {
    apply_key(config, key, node, name_for_errors);
  };
  // The preset is what the other keys of the file stand on, wherever in the file it is.
  if (const auto found = table.find("preset"); found != table.end()) {
    if (preset == PresetKey::apply) {
      apply(found->first, found->second);
      apply_preset(config, config.preset);
    }
    table.erase(found);
  }
  for (const auto& [key, node] : table) apply(key, node);
}

void apply_toml(Config& config, const std::string& text, const std::string& name_for_errors) {
  apply_toml(config, text, name_for_errors, PresetKey::apply);
}

std::string to_toml(const Config& config) {
  std::string text;
  std::string_view group;
  for (const Option& option : options()) {
    const std::optional<std::string> value = get_option(config, option);
    if (!value) continue;
    if (option.group != group) text += fmt::format("{}# {}\n", group.empty() ? "" : "\n", option.group);
    group = option.group;
    text += fmt::format("{} = {}\n", option.key, toml_value(*value, value_type(option)));
  }
  for (const auto& [name, field] : config.fields) {
    text += fmt::format("\n[fields.{}]\n", quoted(name));
    if (field.pooling) text += fmt::format("pooling = \"{}\"\n", name_of(*field.pooling));
    if (field.transform) text += fmt::format("transform = \"{}\"\n", name_of(*field.transform));
    if (field.clip) text += fmt::format("clip = {}\n", *field.clip);
  }
  return text;
}

}  // namespace esmm
