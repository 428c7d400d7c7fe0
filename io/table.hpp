#pragma once
// Logs with named columns (CSV, TSV, Parquet): what their columns mean, and the rows that their cells make.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/messages.hpp"
#include "io/rows.hpp"

namespace esmm {

/// What a column holds: the widest of its cells.
enum class ColumnKind : std::uint8_t { empty, whole_numbers, decimals, text };

/// The columns of a file, as far as its first rows tell.
struct TableHeader {
  std::string path;
  std::string place;                   // of the header, in messages: "log.csv:1"
  std::vector<std::string> names;      // a column without a name is ignored
  std::vector<ColumnKind> kinds;       // read where a schema is guessed
  std::vector<std::string> first_row;  // cells
};

enum class ColumnRole : std::uint8_t { none, click, conversion, sample_id, sample, common, dense };

struct TableColumn {
  std::string name;
  ColumnRole role = ColumnRole::none;
  bool is_common_key = false;
  bool whole_numbers = false;  // guessed to hold nothing else
  std::uint16_t index = 0;     // field of its side, or dense column

  [[nodiscard]] bool used() const { return role != ColumnRole::none || is_common_key; }
};

/// Guesses the meaning of columns from their names and kinds (docs/input_formats.md has the rules). Throws Error (data)
/// when no click or conversion column is found, naming the columns, unless `labels_required` is false.
[[nodiscard]] Schema guess_schema(const TableHeader& header, bool labels_required);

struct TableRows : ImpressionRows {
  FeatureRows common_features;  // [R] common side
  std::string scratch;          // memory for whoever makes the cells
};
void clear(TableRows& rows);

/// Gives the columns of a table their roles, by the schema or by a guess, and makes rows of their cells:
/// begin_row, one or more cells per column, end_row.
class TablePlan {
 public:
  /// Throws Error (data) where the schema and the header do not fit.
  TablePlan(const TableHeader& header, const ReaderOptions& options);

  [[nodiscard]] const Schema& schema() const { return schema_; }
  [[nodiscard]] bool labelled() const { return labelled_; }  // false if the log has no labels and needs none
  [[nodiscard]] const std::vector<TableColumn>& columns() const { return columns_; }

  /// `number` counts from 1 and is the sample id of a table that has none.
  void begin_row(std::uint64_t number, TableRows& rows) const;
  /// The text of a cell must be followed by TextChunk::kPadding readable bytes. After a problem the row must end.
  [[nodiscard]] std::optional<Problem> add_cell(const TableColumn& column, std::string_view cell,
                                                TableRows& rows) const;
  /// A cell of a sample or common column that is an id already.
  void add_id(const TableColumn& column, std::uint64_t id, float value, TableRows& rows) const {
    FeatureRows& features = column.role == ColumnRole::sample ? rows.features : rows.common_features;
    features.field.push_back(column.index);
    features.id.push_back(id);
    features.value.push_back(value);
  }
  /// The value of a dense column, which is NaN (missing) until it is set.
  [[nodiscard]] float& dense_value(const TableColumn& column, TableRows& rows) const {
    return *(rows.dense.end() - static_cast<std::ptrdiff_t>(schema_.dense.size() - column.index));
  }
  /// Keeps the row, or takes back what it has left in the columns. `rows.line` and `rows.bad` are the caller's.
  void end_row(bool keep, TableRows& rows) const;

 private:
  Schema schema_;
  std::vector<TableColumn> columns_;
  bool labels_required_;
  bool labelled_ = false;
  bool has_sample_id_ = false;
};

/// A log that is a table: the common rows are found among the impressions.
class TableReader : public LogReader {
 public:
  const Schema& schema() const final { return plan_.schema(); }
  bool labelled() const final { return plan_.labelled(); }
  bool has_common() const final { return plan_.schema().common_key.has_value(); }
  void read_common(const std::function<void(CommonRows&&)>& sink) final;
  void read_impressions(const std::function<void(ImpressionRows&&)>& sink) final;

 protected:
  explicit TableReader(TablePlan plan) : plan_(std::move(plan)) {}
  [[nodiscard]] const TablePlan& plan() const { return plan_; }

 private:
  virtual void read(const std::function<void(TableRows&&)>& sink) const = 0;

  TablePlan plan_;
};

}  // namespace esmm
