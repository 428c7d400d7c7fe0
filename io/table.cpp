#include "io/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>

#include "io/key_set.hpp"
#include "io/readers.hpp"
#include "io/scan.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

void check_names(const TableHeader& header) {
  std::map<std::string, std::size_t> first;
  for (std::size_t i = 0; i < header.names.size(); ++i) {
    const std::string& name = header.names[i];
    const auto [known, is_new] = first.emplace(name, i);
    if (is_new || name.empty()) continue;
    throw data_error("{}: two columns are named {} (columns {} and {}). Rename one.", header.place, in_quotes(name),
                     known->second + 1, i + 1);
  }
}

/// Gives every column of the header the role that the schema has for its name; names it does not have are skipped.
class Roles {
 public:
  Roles(const TableHeader& header, std::vector<TableColumn>& columns) : header_(header), columns_(columns) {
    for (const std::string& name : header.names) columns_.push_back({name});
  }

  TableColumn& column(const std::string& name, const char* key) {
    const auto found = std::find(header_.names.begin(), header_.names.end(), name);
    if (found == header_.names.end()) {
      throw data_error("{}: the header lacks the column {} that the schema names as {}. {}", header_.place,
                       in_quotes(name), key,
                       did_you_mean(name, header_.names, fmt::format("It has {}.", listed(header_.names))));
    }
    return columns_[static_cast<std::size_t>(found - header_.names.begin())];
  }
  void set(const std::string& name, const char* key, ColumnRole role, std::size_t index = 0) {
    TableColumn& chosen = column(name, key);
    if (chosen.role != ColumnRole::none) {
      throw data_error("{}: the schema names the column {} as {} and as something else. Give it one role.",
                       header_.place, in_quotes(name), key);
    }
    chosen.role = role;
    chosen.index = static_cast<std::uint16_t>(index);
  }

  void set_features(const Schema& schema) {
    const std::vector<Field> sample = schema.side(Side::sample);
    const std::vector<Field> common = schema.side(Side::common);
    for (std::size_t i = 0; i < sample.size(); ++i) set(sample[i].name, "sample", ColumnRole::sample, i);
    for (std::size_t i = 0; i < common.size(); ++i) set(common[i].name, "common", ColumnRole::common, i);
    for (std::size_t i = 0; i < schema.dense.size(); ++i) set(schema.dense[i], "dense", ColumnRole::dense, i);
    if (schema.common_key) column(*schema.common_key, "common_key").is_common_key = true;
  }

  /// False if there is no sample id.
  bool set_sample_id(const Schema& schema) {
    if (schema.sample_id) {
      set(*schema.sample_id, "sample_id", ColumnRole::sample_id);
      return true;
    }
    for (TableColumn& column : columns_) {  // a run's schema may come from a log without this column
      if (column.role != ColumnRole::none || !equal_ignoring_case(column.name, "sample_id")) continue;
      column.role = ColumnRole::sample_id;
      return true;
    }
    return false;
  }

  /// False if the log has no labels and needs none.
  bool set_labels(const Schema& schema, bool required) {
    const auto is_empty = [&](const std::string& name) {
      const auto found = std::find(header_.names.begin(), header_.names.end(), name);
      const auto column = static_cast<std::size_t>(found - header_.names.begin());
      return column >= header_.first_row.size() || header_.first_row[column].empty();
    };
    if (!required && (is_empty(schema.click) || is_empty(schema.conversion))) return false;
    set(schema.click, "click", ColumnRole::click);
    set(schema.conversion, "conversion", ColumnRole::conversion);
    return true;
  }

 private:
  const TableHeader& header_;
  std::vector<TableColumn>& columns_;
};

}  // namespace

void clear(TableRows& rows) {
  clear(static_cast<ImpressionRows&>(rows));
  rows.common_features.clear();
}

TablePlan::TablePlan(const TableHeader& header, const ReaderOptions& options)
    : labels_required_(options.labels_required) {
  check_names(header);
  const bool guessed = options.schema == nullptr;
  schema_ = guessed ? guess_schema(header, options.labels_required) : *options.schema;
  if (schema_.count(Side::common) > 0 && !schema_.common_key) {
    throw data_error("{}: the schema has common fields but no common_key. Add common_key = \"column\" to it.",
                     header.path);
  }
  refuse_label_features(schema_, header.path);
  Roles roles(header, columns_);
  roles.set_features(schema_);
  has_sample_id_ = roles.set_sample_id(schema_);
  labelled_ = roles.set_labels(schema_, options.labels_required);
  for (std::size_t i = 0; guessed && i < columns_.size(); ++i) {
    columns_[i].whole_numbers = header.kinds[i] <= ColumnKind::whole_numbers;
  }
}

void TablePlan::begin_row(std::uint64_t number, TableRows& rows) const {
  rows.click.push_back(0);
  rows.conversion.push_back(0);
  rows.dense.resize(rows.dense.size() + schema_.dense.size(), std::numeric_limits<float>::quiet_NaN());
  if (!has_sample_id_) rows.sample_id.push_back(fmt::format_int(number).c_str());
}

void TablePlan::end_row(bool keep, TableRows& rows) const {
  if (keep) {
    rows.features.row_end.push_back(rows.features.id.size());
    rows.common_features.row_end.push_back(rows.common_features.id.size());
    return;
  }
  const std::size_t count = rows.features.row_end.size();  // rows that were kept
  rows.sample_id.ends.resize(count);
  rows.sample_id.chars.resize(count == 0 ? 0 : rows.sample_id.ends.back());
  rows.click.resize(count);
  rows.conversion.resize(count);
  rows.common.resize(std::min(count, rows.common.size()));
  rows.dense.resize(count * schema_.dense.size());
  drop_unfinished_row(rows.features);
  drop_unfinished_row(rows.common_features);
}

std::optional<Problem> TablePlan::add_cell(const TableColumn& column, std::string_view cell, TableRows& rows) const {
  const auto problem = [&](BadRowKind kind, std::string_view what) {
    return Problem{kind, fmt::format("column {} {}: {}", in_quotes(column.name), what, in_quotes(cell))};
  };
  if (column.is_common_key) {
    if (cell.empty()) return problem(BadRowKind::unknown_common, "(the common key) is empty");
    rows.common.push_back(common_key(cell));
  }
  switch (column.role) {
    case ColumnRole::none:
      return std::nullopt;
    case ColumnRole::click:
      return parse_label(column.name, cell, labels_required_, rows.click.back());
    case ColumnRole::conversion:
      return parse_label(column.name, cell, labels_required_, rows.conversion.back());
    case ColumnRole::sample_id:
      rows.sample_id.push_back(cell);
      return std::nullopt;
    case ColumnRole::sample:
    case ColumnRole::common: {
      if (cell.empty()) return std::nullopt;
      std::uint64_t id = 0;
      if (!scan_short_id(cell, id)) {
        if (column.whole_numbers && !is_whole_number(cell)) {
          auto guessed = problem(BadRowKind::number, "was guessed to hold whole-number ids, but holds");
          guessed.remedy =
              "Declare the column in a --schema FILE.toml: under dense for decimals, under sample for ids of any text; "
              "or pass --on-bad-row skip.";
          return guessed;
        }
        id = feature_id(cell);
      }
      add_id(column, id, 1, rows);
      return std::nullopt;
    }
    case ColumnRole::dense: {
      if (cell.empty()) return std::nullopt;  // missing: stays NaN
      switch (scan_value(cell, dense_value(column, rows))) {
        case Scan::not_a_number:
          return problem(BadRowKind::number, "is not a decimal number (leave it empty if missing)");
        case Scan::out_of_range:
          return problem(BadRowKind::range, "is outside the range of a float");
        case Scan::ok:
          return std::nullopt;
      }
    }
  }
  return std::nullopt;
}

void TableReader::read_impressions(const std::function<void(ImpressionRows&&)>& sink) {
  read([&](TableRows&& rows) { sink(std::move(rows)); });
}

/// Only usable rows define common rows, so that no impression refers to one that is not there. Bad rows and bytes are
/// left for read_impressions to report, once.
void TableReader::read_common(const std::function<void(CommonRows&&)>& sink) {
  if (!has_common()) return;
  KeySet seen;
  read([&](TableRows&& rows) {
    CommonRows distinct;
    distinct.file = rows.file;
    for (std::size_t row = 0; row < rows.common.size(); ++row) {
      if (!seen.insert(rows.common[row])) continue;
      distinct.key.push_back(rows.common[row]);
      distinct.line.push_back(rows.line[row]);
      append_row(rows.common_features, row, distinct.features);
    }
    sink(std::move(distinct));
  });
}

}  // namespace esmm
