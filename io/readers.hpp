#pragma once
// What the readers of the text formats share; users of logs need io/rows.hpp only.
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/chunk_parser.hpp"
#include "io/messages.hpp"
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

/// The .parquet files of a directory, in the order of their names, or the file itself. Names that begin with _ or . are
/// left out, as everyone does (_metadata, _SUCCESS). May be empty.
[[nodiscard]] std::vector<std::string> parquet_files(const std::string& path);

[[nodiscard]] std::string base_name(const std::string& path);

/// Decimal digits, with or without a minus sign.
[[nodiscard]] bool is_whole_number(std::string_view text);

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

/// Reads a label: 0 or 1; an empty cell counts as 0 where labels are not required.
[[nodiscard]] std::optional<Problem> parse_label(std::string_view name, std::string_view cell, bool required,
                                                 std::uint8_t& label);
/// Click and conversion of one row.
struct Labels {
  std::uint8_t click = 0, conversion = 0;
};
[[nodiscard]] std::optional<Problem> parse_labels(std::string_view click, std::string_view conversion, bool required,
                                                  Labels& labels);

/// A label among the features makes every metric meaningless. Throws Error (data) for a feature with the name of one.
void refuse_label_features(const Schema& schema, const std::string& file);
/// Names under which a conversion label is recognised: conversion, purchase, buy (in any case).
[[nodiscard]] bool is_conversion_name(std::string_view name);
[[nodiscard]] bool equal_ignoring_case(std::string_view a, std::string_view b);

/// Takes back the features after the end of the last row.
void drop_unfinished_row(FeatureRows& rows);
/// Appends one row of `from`.
void append_row(const FeatureRows& from, std::size_t row, FeatureRows& to);
void clear(CommonRows& rows);
void clear(ImpressionRows& rows);

/// A file of rows and how to read it.
struct RowsFile {
  std::string path;
  std::string name;  // in messages about its lines
  std::uint64_t header_rows = 0;
  int threads = 0;
  std::size_t chunk_bytes = TextSource::kChunkBytes;
};

/// Reads every line that is not blank: parse_line(line, row number, rows) appends to all columns of `rows` but `line`,
/// or appends nothing and returns the problem. It runs on several threads.
template <class Rows, class ParseLine>
void read_rows(const RowsFile& file, ParseLine parse_line, const std::function<void(Rows&&)>& sink) {
  const auto parse = [&](const TextChunk& chunk, Rows& rows) {
    clear(rows);
    rows.file = file.name;
    rows.text_bytes = chunk.text().size();
    std::uint64_t line_number = chunk.first_line;
    std::uint64_t row_number = chunk.first_row;
    for (std::string_view rest = chunk.text(); !rest.empty(); ++line_number) {
      const std::string_view line = take_line(rest);
      if (line.empty() || row_number++ < file.header_rows) continue;
      const std::optional<Problem> problem = parse_line(line, row_number - file.header_rows, rows);
      if (problem) {
        rows.bad.push_back(bad_row(*problem, file.name, line_number));
      } else {
        rows.line.push_back(line_number);
      }
    }
  };
  TextSource source(file.path, file.name, file.chunk_bytes);
  parse_in_order<Rows>(source, file.threads, parse, sink);
}

}  // namespace esmm
