#include <fmt/format.h>

#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "io/field_lookup.hpp"
#include "io/readers.hpp"
#include "io/scan.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

/// The text before the first `c`, or all of it. Cells are short, so that calling memchr would cost more than it finds.
std::string_view up_to(std::string_view text, char c) {
  const char* const end = text.data() + text.size();
  return {text.data(), static_cast<std::size_t>(find_char(text.data(), end, c) - text.data())};
}

/// The cells of a line, one after another.
class CommaCells {
 public:
  explicit CommaCells(std::string_view line) : rest_(line) {}
  /// False after the last cell, which may be empty.
  bool next(std::string_view& cell) {
    if (done_) return false;
    cell = up_to(rest_, ',');
    done_ = cell.size() == rest_.size();
    if (!done_) rest_.remove_prefix(cell.size() + 1);
    return true;
  }

 private:
  std::string_view rest_;
  bool done_ = false;
};

/// field:id[:value]
struct FeatureText {
  std::string_view field, id;
  std::optional<std::string_view> value;
};
[[nodiscard]] bool split(std::string_view cell, FeatureText& feature) {
  feature.field = up_to(cell, ':');
  if (feature.field.empty() || feature.field.size() == cell.size()) return false;
  const std::string_view rest = cell.substr(feature.field.size() + 1);
  feature.id = up_to(rest, ':');
  feature.value.reset();
  if (feature.id.size() == rest.size()) return true;
  feature.value = rest.substr(feature.id.size() + 1);
  return up_to(*feature.value, ':').size() == feature.value->size();
}

/// Field names in order of first appearance: one pass over the file.
Schema collect_fields(const std::string& path, int threads, std::size_t chunk_bytes) {
  struct Names {
    std::vector<std::string> ordered;
    std::set<std::string, std::less<>> known;
    void add(std::string_view name) {
      if (known.find(name) == known.end()) ordered.push_back(*known.emplace(name).first);
    }
  };
  const auto parse = [](const TextChunk& chunk, Names& names) {
    names = {};
    std::vector<std::string_view> before;  // the names of the line before: mostly the same in the same places
    for (std::string_view rest = chunk.text(); !rest.empty();) {
      CommaCells cells(take_line(rest));
      std::string_view cell;
      FeatureText feature;
      for (std::size_t column = 0; cells.next(cell); ++column) {
        if (column < 3 || !split(cell, feature)) continue;
        if (before.size() <= column) before.resize(column + 1);
        if (feature.field != std::exchange(before[column], feature.field)) names.add(feature.field);
      }
    }
  };
  Names all;
  TextSource source(path, path, chunk_bytes);
  parse_in_order<Names>(source, threads, parse, [&](Names&& names) {
    for (const std::string& name : names.ordered) all.add(name);
    if (all.ordered.size() > std::numeric_limits<std::uint16_t>::max()) {
      throw data_error(
          "{}: more than 65,535 different fields. Features are written field:id[:value]; are id and field "
          "swapped?",
          path);
    }
  });
  Schema schema;
  for (const std::string& name : all.ordered) schema.fields.push_back({name, Side::sample, name});
  if (schema.fields.empty()) {
    throw data_error(
        "{}:1: no feature of the form field:id[:value]. Lines are sample_id,click,conversion,field:id[:value],…", path);
  }
  return schema;
}

class FieldIdReader final : public LogReader {
 public:
  FieldIdReader(const std::string& path, Schema schema, const ReaderOptions& options, bool labelled,
                std::size_t chunk_bytes)
      : path_(path),
        schema_(std::move(schema)),
        lookup_(schema_, Side::sample),
        labels_required_(options.labels_required),
        labelled_(labelled),
        threads_(options.threads),
        chunk_bytes_(chunk_bytes) {}

  const Schema& schema() const override { return schema_; }
  bool labelled() const override { return labelled_; }
  bool has_common() const override { return false; }
  std::vector<std::string> files() const override { return {path_}; }
  void read_common(const std::function<void(CommonRows&&)>& /*sink*/) override {}
  void read_impressions(const std::function<void(ImpressionRows&&)>& sink) override;

 private:
  [[nodiscard]] std::optional<Problem> parse_line(std::string_view line, ImpressionRows& rows) const;
  [[nodiscard]] std::optional<Problem> parse_feature(std::string_view cell, FeatureRows& rows) const;

  std::string path_;
  Schema schema_;
  FieldLookup lookup_;
  bool labels_required_;
  bool labelled_;
  int threads_;
  std::size_t chunk_bytes_;
};

void FieldIdReader::read_impressions(const std::function<void(ImpressionRows&&)>& sink) {
  const auto parse = [this](std::string_view line, std::uint64_t /*row*/, ImpressionRows& rows) {
    auto problem = parse_line(line, rows);
    if (problem) drop_unfinished_row(rows.features);
    return problem;
  };
  read_rows<ImpressionRows>({path_, path_, 0, threads_, chunk_bytes_}, parse, sink);
}

std::optional<Problem> FieldIdReader::parse_line(std::string_view line, ImpressionRows& rows) const {
  std::string_view sample_id, click, conversion, cell;
  CommaCells cells(line);
  if (!cells.next(sample_id) || !cells.next(click) || !cells.next(conversion)) {
    return Problem{
        BadRowKind::field_count,
        fmt::format("fewer than 3 columns (sample_id,click,conversion,field:id[:value],…): {}", in_quotes(line))};
  }
  Labels labels;
  if (auto problem = parse_labels(click, conversion, labels_required_, labels)) return problem;
  for (int number = 1; cells.next(cell); ++number) {
    if (auto problem = parse_feature(cell, rows.features)) {
      problem->what = fmt::format("feature {} {}", number, problem->what);
      return problem;
    }
  }
  rows.features.row_end.push_back(rows.features.id.size());
  rows.sample_id.push_back(sample_id);
  rows.click.push_back(labels.click);
  rows.conversion.push_back(labels.conversion);
  return std::nullopt;
}

std::optional<Problem> FieldIdReader::parse_feature(std::string_view cell, FeatureRows& rows) const {
  const auto problem = [&](BadRowKind kind, std::string_view what) {
    return Problem{kind, fmt::format("{}: {}", what, in_quotes(cell))};
  };
  FeatureText feature;
  if (!split(cell, feature)) return problem(BadRowKind::separator, "is not of the form field:id[:value]");
  if (feature.id.empty()) return problem(BadRowKind::number, "has no id");
  const int field = lookup_.find_in_text(feature.field);
  if (field == FieldLookup::kIgnored) return std::nullopt;
  if (field < 0) return problem(BadRowKind::unknown_field, lookup_.complaint(feature.field));
  float value = 1;
  if (feature.value) {
    switch (scan_value(*feature.value, value)) {
      case Scan::not_a_number:
        return problem(BadRowKind::number, "has a value that is not a decimal number");
      case Scan::out_of_range:
        return problem(BadRowKind::range, "has a value outside the range of a float");
      case Scan::ok:
        break;
    }
  }
  std::uint64_t id = 0;
  if (!scan_short_id(feature.id, id)) id = feature_id(feature.id);
  rows.field.push_back(static_cast<std::uint16_t>(field));
  rows.id.push_back(id);
  rows.value.push_back(value);
  return std::nullopt;
}

}  // namespace

std::unique_ptr<LogReader> open_field_id_log(const std::string& path, const ReaderOptions& options,
                                             std::size_t chunk_bytes) {
  const std::string line = first_lines(path, path, 1).front();
  std::string_view sample_id, click, conversion;
  CommaCells cells(line);
  const bool columns = cells.next(sample_id) && cells.next(click) && cells.next(conversion);
  const bool labelled = options.labels_required || !columns || (!click.empty() && !conversion.empty());
  Schema schema = options.schema != nullptr ? *options.schema : collect_fields(path, options.threads, chunk_bytes);
  if (schema.count(Side::common) > 0 || !schema.dense.empty()) {
    throw data_error(
        "{}: the schema has common fields or dense columns, which field:id lines cannot hold. Pass the log as "
        "CSV, or in the layout that the schema was made for.",
        path);
  }
  refuse_label_features(schema, path);
  return std::make_unique<FieldIdReader>(path, std::move(schema), options, labelled, chunk_bytes);
}

}  // namespace esmm
