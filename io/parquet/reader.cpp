#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "io/chunk_parser.hpp"
#include "io/parquet.hpp"
#include "io/parquet/cells.hpp"
#include "io/parquet/parquet_file.hpp"
#include "io/readers.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

/// The batches of a log's files, one after another.
class Batches {
 public:
  Batches(const std::vector<std::string>& files, const std::vector<TableColumn>& columns, std::size_t batch_rows)
      : files_(files), columns_(columns), batch_rows_(batch_rows) {}

  bool next(ParquetBatch& batch) {
    for (; !file_ || !file_->next(batch); ++opened_) {
      if (opened_ == files_.size()) return false;
      file_.emplace(files_[opened_], batch_rows_);
      file_->select(columns_);
    }
    batch.first_in_log = rows_ + 1;
    rows_ += static_cast<std::uint64_t>(batch.rows->num_rows());
    return true;
  }

 private:
  const std::vector<std::string>& files_;
  const std::vector<TableColumn>& columns_;
  std::size_t batch_rows_;
  std::size_t opened_ = 0;
  std::optional<ParquetFile> file_;
  std::uint64_t rows_ = 0;
};

/// A value's text, with what the scanners need behind it.
std::string_view text_of(const ArrowValues& values, std::int64_t i, std::string& scratch) {
  scratch.clear();
  if (!values.is_missing(i)) values.append_text(i, scratch);
  const std::size_t size = scratch.size();
  scratch.append(TextChunk::kPadding, '\0');
  return std::string_view(scratch).substr(0, size);
}

class ParquetReader final : public TableReader {
 public:
  ParquetReader(std::vector<std::string> files, TablePlan plan, int threads, std::size_t batch_rows)
      : TableReader(std::move(plan)), files_(std::move(files)), threads_(threads), batch_rows_(batch_rows) {}

  std::vector<std::string> files() const override { return files_; }

 private:
  struct Column {
    const TableColumn& meaning;
    ArrowCells cells;
  };
  void read(const std::function<void(TableRows&&)>& sink) const override;
  void convert(const ParquetBatch& batch, TableRows& rows) const;
  [[nodiscard]] std::optional<Problem> add_row(const std::vector<Column>& columns, std::int64_t row,
                                               TableRows& rows) const;
  [[nodiscard]] std::optional<Problem> add_value(const Column& column, std::int64_t place, TableRows& rows) const;

  std::vector<std::string> files_;
  int threads_;
  std::size_t batch_rows_;
};

void ParquetReader::read(const std::function<void(TableRows&&)>& sink) const {
  struct Slot {
    ParquetBatch batch;
    TableRows rows;
  };
  Batches source(files_, plan().columns(), batch_rows_);
  const int workers = worker_count(threads_);
  std::vector<Slot> ring(pipeline_slots(workers));
  run_in_order(
      workers, ring.size(), [&](std::size_t slot) { return source.next(ring[slot].batch); },
      [&](std::size_t slot) {
        convert(ring[slot].batch, ring[slot].rows);
        ring[slot].batch.rows.reset();
      },
      [&](std::size_t slot) { sink(std::move(ring[slot].rows)); });
}

void ParquetReader::convert(const ParquetBatch& batch, TableRows& rows) const {
  clear(rows);
  rows.file = batch.file;
  rows.text_bytes = batch.bytes;
  std::vector<Column> columns;
  for (const TableColumn& column : plan().columns()) {
    if (column.used()) columns.push_back({column, ArrowCells(*batch.rows->GetColumnByName(column.name))});
  }
  for (std::int64_t row = 0; row < batch.rows->num_rows(); ++row) {
    plan().begin_row(batch.first_in_log + static_cast<std::uint64_t>(row), rows);
    std::optional<Problem> problem = add_row(columns, row, rows);
    plan().end_row(!problem, rows);
    const std::uint64_t number = batch.first_row + static_cast<std::uint64_t>(row);
    if (problem) {
      problem->what = fmt::format("row group {}: {}", batch.row_group, problem->what);
      if (problem->remedy == Problem{}.remedy) problem->remedy = "Fix the row, or pass --on-bad-row skip.";
      rows.bad.push_back(bad_row(*problem, batch.file, number));
    } else {
      rows.line.push_back(number);
    }
  }
}

std::optional<Problem> ParquetReader::add_row(const std::vector<Column>& columns, std::int64_t row,
                                              TableRows& rows) const {
  for (const Column& column : columns) {
    const auto [begin, end] = column.cells.range(row);
    for (std::int64_t place = begin; place < end; ++place) {
      if (column.cells.is_list() && column.cells.values().is_missing(place)) continue;
      if (auto problem = add_value(column, place, rows)) return problem;
    }
  }
  return std::nullopt;
}

std::optional<Problem> ParquetReader::add_value(const Column& column, std::int64_t place, TableRows& rows) const {
  const TableColumn& meaning = column.meaning;
  const ArrowValues& values = column.cells.values();
  const auto text = [&] { return text_of(values, place, rows.scratch); };
  const auto problem = [&](BadRowKind kind, std::string_view what) {
    return Problem{kind, fmt::format("column {} {}: {}", in_quotes(meaning.name), what, in_quotes(text()))};
  };
  float weight = 1;
  if (column.cells.weights()) {
    const ArrowValues& weights = *column.cells.weights();
    const std::optional<std::int64_t> whole = weights.integer(place);
    weight = static_cast<float>(whole ? static_cast<double>(*whole) : weights.real(place).value_or(1));
    if (weights.is_missing(place) || !std::isfinite(weight)) {
      return problem(BadRowKind::number, "has an id whose value is not a number in the range of a float");
    }
  }
  if (values.is_missing(place)) return plan().add_cell(meaning, text(), rows);
  const std::optional<double> real = values.real(place);
  if (meaning.role == ColumnRole::dense) {
    if (real && std::isfinite(static_cast<float>(*real))) {
      plan().dense_value(meaning, rows) = static_cast<float>(*real);
      return std::nullopt;
    }
  } else if (real && !(std::abs(*real) <= values.exact_limit())) {
    return problem(BadRowKind::range, "holds a floating-point number too large to be an exact id");
  } else if (meaning.role == ColumnRole::sample || meaning.role == ColumnRole::common) {
    const std::optional<std::int64_t> whole = values.integer(place);
    if (whole && *whole >= 0 && !meaning.is_common_key) {
      plan().add_id(meaning, static_cast<std::uint64_t>(*whole), weight, rows);
      return std::nullopt;
    }
  }
  FeatureRows& features = meaning.role == ColumnRole::sample ? rows.features : rows.common_features;
  const std::size_t before = features.value.size();
  auto found = plan().add_cell(meaning, text(), rows);
  if (features.value.size() > before) features.value.back() = weight;
  return found;
}

/// What the guess and the labels need to know of the first file that has rows.
TableHeader header_of(ParquetFile& file) {
  TableHeader header{file.path(), file.path(), {}, {}, {}};
  std::vector<TableColumn> single;  // columns with one cell a row
  for (const auto& field : file.schema().fields()) {
    const bool index = field->name().starts_with("__index_level_");  // which pandas writes
    header.names.push_back(index ? "" : field->name());
    const std::optional<ColumnKind> kind = kind_of(*field->type());
    header.kinds.push_back(kind.value_or(ColumnKind::text));  // a column of another type is refused if it is used
    const bool unique = file.schema().GetFieldIndex(field->name()) >= 0;
    if (kind && unique && !is_list(*field->type())) single.push_back({field->name(), ColumnRole::sample});
  }
  file.select(single);
  ParquetBatch batch;
  static_cast<void>(file.next(batch));
  std::string scratch;
  for (const std::string& name : header.names) {
    const auto column = batch.rows->GetColumnByName(name);
    header.first_row.emplace_back(column ? text_of(ArrowValues(*column), 0, scratch) : std::string_view());
  }
  return header;
}

}  // namespace

std::string parquet_library() {
  return fmt::format("Apache Arrow {}", arrow::GetBuildInfo().version_string);
}

std::unique_ptr<LogReader> open_parquet_log(const std::string& path, const ReaderOptions& options,
                                            std::size_t batch_rows) {
  std::vector<std::string> files = parquet_files(path);
  for (const std::string& name : files) {
    ParquetFile file(name, 1);
    if (file.rows() == 0) continue;  // as engines write them for partitions without rows
    TablePlan plan(header_of(file), options);
    file.select(plan.columns());
    return std::make_unique<ParquetReader>(std::move(files), std::move(plan), options.threads, batch_rows);
  }
  throw data_error("{}: no rows. Check how it was written.", path);
}

}  // namespace esmm
