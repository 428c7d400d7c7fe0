#include <algorithm>
#include <cctype>

#include "io/messages.hpp"
#include "io/readers.hpp"
#include "io/table.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

bool starts_with_ignoring_case(std::string_view name, std::string_view prefix) {
  return equal_ignoring_case(name.substr(0, prefix.size()), prefix);
}

/// `letter` and a number, as the columns of Criteo logs are named.
bool is_numbered(std::string_view name, char letter) {
  return name.size() > 1 && name[0] == letter && is_whole_number(name.substr(1)) && name[1] != '-';
}

bool named_dense(std::string_view name) {
  return is_numbered(name, 'I') || starts_with_ignoring_case(name, "num") || starts_with_ignoring_case(name, "dense") ||
         starts_with_ignoring_case(name, "float");
}

bool named_categorical(std::string_view name) {
  return is_numbered(name, 'C') || starts_with_ignoring_case(name, "cat");
}

bool is_dense(std::string_view name, ColumnKind kind) {
  if (kind == ColumnKind::text) return false;
  return kind == ColumnKind::decimals ? !named_categorical(name) : named_dense(name);
}

Error no_label(const TableHeader& header, const char* label, const char* names) {
  const std::string near = nearest(label, header.names);
  return data_error(
      "{}: no {} column in the header, which has {}. Name one {}, or name it in a --schema FILE.toml: {} = {}.",
      header.place, label, listed(header.names), names, label, in_quotes(near.empty() ? "…" : near));
}

}  // namespace

bool is_whole_number(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

Schema guess_schema(const TableHeader& header, bool labels_required) {
  Schema schema;
  bool click_found = false;
  bool conversion_found = false;
  for (std::size_t column = 0; column < header.names.size(); ++column) {
    const std::string& name = header.names[column];
    if (name.empty()) continue;  // such as the index that pandas writes
    if (!click_found && equal_ignoring_case(name, "click")) {
      schema.click = name;
      click_found = true;
    } else if (!conversion_found && is_conversion_name(name)) {
      schema.conversion = name;
      conversion_found = true;
    } else if (!schema.sample_id && equal_ignoring_case(name, "sample_id")) {
      schema.sample_id = name;
    } else if (is_dense(name, header.kinds[column])) {
      schema.dense.push_back(name);
    } else {
      schema.fields.push_back({name, Side::sample, name});
    }
  }
  if (labels_required && !click_found) throw no_label(header, "click", "click");
  if (labels_required && !conversion_found) {
    throw no_label(header, "conversion", "conversion, purchase or buy");
  }
  return schema;
}

}  // namespace esmm
