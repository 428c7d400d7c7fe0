#include <algorithm>
#include <cctype>

#include "io/messages.hpp"
#include "io/readers.hpp"
#include "io/scan.hpp"
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

Error no_label(const std::string& file, const char* label, const char* names, const std::vector<std::string>& header) {
  const std::string near = nearest(label, header);
  return data_error(
      "{}:1: no {} column in the header, which has {}. Name one {}, or name it in a --schema FILE.toml: {} = {}.", file,
      label, listed(header), names, label, in_quotes(near.empty() ? "…" : near));
}

}  // namespace

bool is_whole_number(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

ColumnKind column_kind(const std::vector<std::vector<std::string>>& rows, std::size_t column) {
  auto kind = ColumnKind::empty;
  for (const std::vector<std::string>& row : rows) {
    if (column >= row.size() || row[column].empty()) continue;
    const std::string& cell = row[column];
    float ignored = 0;
    auto cell_kind = ColumnKind::text;
    if (is_whole_number(cell)) {
      cell_kind = ColumnKind::whole_numbers;
    } else if (scan_float(cell, ignored) != Scan::not_a_number || equal_ignoring_case(cell, "nan") ||
               equal_ignoring_case(cell, "inf") || equal_ignoring_case(cell, "-inf")) {
      cell_kind = ColumnKind::decimals;  // nan and inf are refused later, with a remedy, rather than taken for text
    }
    kind = std::max(kind, cell_kind);
  }
  return kind;
}

Schema guess_schema(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& first_rows,
                    bool labels_required, const std::string& file_for_errors) {
  Schema schema;
  bool click_found = false;
  bool conversion_found = false;
  for (std::size_t column = 0; column < header.size(); ++column) {
    const std::string& name = header[column];
    if (name.empty()) continue;  // such as the index that pandas writes
    if (!click_found && equal_ignoring_case(name, "click")) {
      schema.click = name;
      click_found = true;
    } else if (!conversion_found && is_conversion_name(name)) {
      schema.conversion = name;
      conversion_found = true;
    } else if (!schema.sample_id && equal_ignoring_case(name, "sample_id")) {
      schema.sample_id = name;
    } else if (is_dense(name, column_kind(first_rows, column))) {
      schema.dense.push_back(name);
    } else {
      schema.fields.push_back({name, Side::sample, name});
    }
  }
  if (labels_required && !click_found) throw no_label(file_for_errors, "click", "click", header);
  if (labels_required && !conversion_found) {
    throw no_label(file_for_errors, "conversion", "conversion, purchase or buy", header);
  }
  return schema;
}

}  // namespace esmm
