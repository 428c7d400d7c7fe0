#include "io/readers.hpp"

#include <algorithm>
#include <cctype>

#include "io/messages.hpp"
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
