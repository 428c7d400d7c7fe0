#include "io/readers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "kernels/error.hpp"

namespace esmm {

std::vector<std::string> first_lines(const std::string& path, const std::string& name, std::size_t count) {
  constexpr std::size_t chunk_bytes = std::size_t{1} << 16;
  TextSource source(path, name, chunk_bytes);
  TextChunk chunk;
  std::vector<std::string> lines;
  while (lines.size() < count && source.next(chunk)) {
    for (std::string_view rest = chunk.text(); !rest.empty() && lines.size() < count;) {
      const std::string_view line = take_line(rest);
      if (!line.empty()) lines.emplace_back(line);
    }
  }
  if (lines.empty()) throw data_error("{}: the file is empty. Check how it was written.", path);
  return lines;
}

std::optional<Problem> parse_label(std::string_view name, std::string_view cell, bool required, std::uint8_t& label) {
  label = cell == "1" || cell == "1.0" ? 1 : 0;
  if (label == 1 || cell == "0" || cell == "0.0" || (cell.empty() && !required)) return std::nullopt;
  return Problem{BadRowKind::label, fmt::format("{} is neither 0 nor 1: {}", name, in_quotes(cell))};
}

std::optional<Problem> parse_labels(std::string_view click, std::string_view conversion, bool required,
                                    Labels& labels) {
  if (auto problem = parse_label("click", click, required, labels.click)) return problem;
  return parse_label("conversion", conversion, required, labels.conversion);
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

bool is_conversion_name(std::string_view name) {
  return equal_ignoring_case(name, "conversion") || equal_ignoring_case(name, "purchase") ||
         equal_ignoring_case(name, "buy");
}

void refuse_label_features(const Schema& schema, const std::string& file) {
  const auto check = [&](const std::string& name) {
    const bool is_label = name == schema.click || name == schema.conversion || is_conversion_name(name) ||
                          equal_ignoring_case(name, "click");
    if (!is_label) return;
    throw data_error(
        "{}: label column among the features: \"{}\" (the labels are \"{}\" and \"{}\"). Rename it, or pass --schema "
        "FILE.toml that lists it under ignore.",
        file, name, schema.click, schema.conversion);
  };
  for (const Field& field : schema.fields) check(field.name);
  for (const std::string& name : schema.dense) check(name);
}

void drop_unfinished_row(FeatureRows& rows) {
  const std::size_t end = rows.row_end.empty() ? 0 : rows.row_end.back();
  rows.field.resize(end);
  rows.id.resize(end);
  rows.value.resize(end);
}

void append_row(const FeatureRows& from, std::size_t row, FeatureRows& to) {
  const auto begin = static_cast<std::ptrdiff_t>(row == 0 ? 0 : from.row_end[row - 1]);
  const auto end = static_cast<std::ptrdiff_t>(from.row_end[row]);
  to.field.insert(to.field.end(), from.field.begin() + begin, from.field.begin() + end);
  to.id.insert(to.id.end(), from.id.begin() + begin, from.id.begin() + end);
  to.value.insert(to.value.end(), from.value.begin() + begin, from.value.begin() + end);
  to.row_end.push_back(to.id.size());
}

void clear(CommonRows& rows) {
  rows.key.clear();
  rows.features.clear();
  rows.line.clear();
  rows.bad.clear();
  rows.text_bytes = 0;
}

void clear(ImpressionRows& rows) {
  rows.sample_id.clear();
  rows.click.clear();
  rows.conversion.clear();
  rows.common.clear();
  rows.features.clear();
  rows.dense.clear();
  rows.line.clear();
  rows.bad.clear();
  rows.text_bytes = 0;
}

}  // namespace esmm
