#pragma once
// What the readers of the text formats share; users of logs need io/rows.hpp only.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/rows.hpp"
#include "io/text_source.hpp"

namespace esmm {

/// One half of a raw Ali-CCP directory: paths of the two files.
struct HalfFiles {
  std::string skeleton;
  std::string common;  // empty if there is none beside the skeleton
};
/// The halves found, compressed or not: for `whole` every pair (train, test, then the others by name). May be empty.
[[nodiscard]] std::vector<HalfFiles> find_halves(const std::string& directory, Half half);

[[nodiscard]] std::string base_name(const std::string& path);

/// Opens by format. `chunk_bytes` is small in tests.
[[nodiscard]] std::unique_ptr<LogReader> open_ali_ccp_log(const std::string& directory, const ReaderOptions& options,
                                                          std::size_t chunk_bytes = TextSource::kChunkBytes);
[[nodiscard]] std::unique_ptr<LogReader> open_csv_log(const std::string& path, char delimiter,
                                                      const ReaderOptions& options,
                                                      std::size_t chunk_bytes = TextSource::kChunkBytes);
[[nodiscard]] std::unique_ptr<LogReader> open_field_id_log(const std::string& path, const ReaderOptions& options,
                                                           std::size_t chunk_bytes = TextSource::kChunkBytes);

/// The first `count` lines that are not blank. Throws Error (data) if the file has none.
[[nodiscard]] std::vector<std::string> first_lines(const std::string& path, const std::string& name, std::size_t count);

/// Click and conversion of one row.
struct Labels {
  std::uint8_t click = 0, conversion = 0;
};
/// Reads a label: 0 or 1; empty counts as 0 where labels are not required.
[[nodiscard]] inline bool parse_label(std::string_view cell, bool required, std::uint8_t& label) {
  if (cell.size() == 1 && (cell[0] == '0' || cell[0] == '1')) {
    label = static_cast<std::uint8_t>(cell[0] - '0');
    return true;
  }
  label = 0;
  return cell.empty() && !required;
}

/// A label among the features makes every metric meaningless. Throws Error (data) for a feature with the name of one.
void refuse_label_features(const Schema& schema, const std::string& file);
/// Names under which a conversion label is recognised: conversion, purchase, buy (in any case).
[[nodiscard]] bool is_conversion_name(std::string_view name);
[[nodiscard]] bool equal_ignoring_case(std::string_view a, std::string_view b);

/// Rows taken back when the rest of a row turns out to be bad.
struct FeatureMark {
  std::size_t size = 0;
  explicit FeatureMark(const FeatureRows& rows) : size(rows.id.size()) {}
  void restore(FeatureRows& rows) const {
    rows.field.resize(size);
    rows.id.resize(size);
    rows.value.resize(size);
  }
};

void clear(CommonRows& rows);
void clear(ImpressionRows& rows);

}  // namespace esmm
