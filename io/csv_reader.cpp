#include <fmt/format.h>

#include <algorithm>

#include "io/readers.hpp"
#include "io/scan.hpp"
#include "io/table.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

constexpr std::size_t kGuessRows = 1000;

/// The cells of one line, quoted as RFC 4180 says but without line ends inside quotes.
class Cells {
 public:
  enum class Status { cell, end, unclosed_quote, text_after_quote };

  Cells(std::string_view line, char delimiter, std::string& scratch)
      : at_(line.data()), end_(line.data() + line.size()), delimiter_(delimiter), scratch_(scratch) {}

  /// A cell is valid until the next call; the scanners' padding follows it.
  Status next(std::string_view& cell) {
    if (done_) return Status::end;
    if (at_ != end_ && *at_ == '"') return next_quoted(cell);
    const char* const stop = find_char(at_, end_, delimiter_);
    cell = {at_, static_cast<std::size_t>(stop - at_)};
    move_behind(stop);
    return Status::cell;
  }

 private:
  Status next_quoted(std::string_view& cell) {
    scratch_.clear();
    for (++at_;;) {
      const char* const quote = find_char(at_, end_, '"');
      if (quote == end_) return Status::unclosed_quote;
      scratch_.append(at_, quote);
      at_ = quote + 1;
      if (at_ == end_ || *at_ != '"') break;
      scratch_ += '"';
      ++at_;
    }
    if (at_ != end_ && *at_ != delimiter_) return Status::text_after_quote;
    const std::size_t size = scratch_.size();
    scratch_.append(TextChunk::kPadding, '\0');
    cell = std::string_view(scratch_).substr(0, size);
    move_behind(at_);
    return Status::cell;
  }
  void move_behind(const char* stop) {
    done_ = stop == end_;
    at_ = done_ ? end_ : stop + 1;
  }

  const char* at_;
  const char* end_;
  char delimiter_;
  std::string& scratch_;
  bool done_ = false;
};

class CsvReader final : public TableReader {
 public:
  CsvReader(RowsFile file, char delimiter, TablePlan plan)
      : TableReader(std::move(plan)), file_(std::move(file)), delimiter_(delimiter) {}

  std::vector<std::string> files() const override { return {file_.path}; }

 private:
  void read(const std::function<void(TableRows&&)>& sink) const override;
  [[nodiscard]] std::optional<Problem> parse_cells(std::string_view line, TableRows& rows) const;

  RowsFile file_;
  char delimiter_;
};

void CsvReader::read(const std::function<void(TableRows&&)>& sink) const {
  const auto parse = [this](std::string_view line, std::uint64_t row, TableRows& rows) {
    plan().begin_row(row, rows);
    auto problem = parse_cells(line, rows);
    plan().end_row(!problem, rows);
    return problem;
  };
  read_rows<TableRows>(file_, parse, sink);
}

std::optional<Problem> CsvReader::parse_cells(std::string_view line, TableRows& rows) const {
  const std::vector<TableColumn>& columns = plan().columns();
  Cells cells(line, delimiter_, rows.scratch);
  std::string_view cell;
  std::size_t count = 0;
  auto status = Cells::Status::end;
  std::optional<Problem> problem;
  while ((status = cells.next(cell)) == Cells::Status::cell) {
    if (count < columns.size() && !problem) problem = plan().add_cell(columns[count], cell, rows);
    ++count;
  }
  if (status != Cells::Status::end) {
    return Problem{BadRowKind::separator, fmt::format("cell {} {}", count + 1,
                                                      status == Cells::Status::unclosed_quote
                                                          ? "has no closing quote (a cell cannot span lines)"
                                                          : "goes on after its closing quote")};
  }
  if (count != columns.size()) {  // said first: a cell too many or too few puts the others under wrong names
    return Problem{BadRowKind::field_count,
                   fmt::format("{} columns, but the header has {}: {}", count, columns.size(), in_quotes(line))};
  }
  return problem;
}

/// The cells of a line, for the header and for guessing; a bad quote ends them.
std::vector<std::string> split(const std::string& line, char delimiter) {
  std::vector<std::string> result;
  std::string scratch;
  Cells cells(line, delimiter, scratch);
  for (std::string_view cell; cells.next(cell) == Cells::Status::cell;) result.emplace_back(cell);
  return result;
}

std::vector<std::string> split_header(const std::string& line, char delimiter) {
  std::vector<std::string> header = split(line, delimiter);
  for (std::string& name : header) {
    name.erase(name.find_last_not_of(' ') + 1);
    name.erase(0, name.find_first_not_of(' '));
  }
  return header;
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

}  // namespace

std::unique_ptr<LogReader> open_csv_log(const std::string& path, char delimiter, const ReaderOptions& options,
                                        std::size_t chunk_bytes) {
  const std::vector<std::string> lines = first_lines(path, path, 1 + kGuessRows);
  TableHeader header{path, path + ":1", split_header(lines.front(), delimiter), {}, {}};
  if (lines.size() == 1) throw data_error("{}:1: a header and no rows. Check how the file was written.", path);
  std::vector<std::vector<std::string>> rows;
  for (std::size_t i = 1; i < lines.size(); ++i) rows.push_back(split(lines[i], delimiter));
  for (std::size_t i = 0; i < header.names.size(); ++i) header.kinds.push_back(column_kind(rows, i));
  header.first_row = rows.front();
  return std::make_unique<CsvReader>(RowsFile{path, path, 1, options.threads, chunk_bytes}, delimiter,
                                     TablePlan(header, options));
}

}  // namespace esmm
