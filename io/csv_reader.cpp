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

enum class Role : std::uint8_t { none, click, conversion, sample_id, sample, common, dense };

struct Column {
  std::string name;
  Role role = Role::none;
  bool is_common_key = false;
  bool whole_numbers = false;  // guessed to hold nothing else
  std::uint16_t index = 0;     // field of its side, or dense column
};

struct CsvRows : ImpressionRows {
  FeatureRows common_features;  // [R] common side
  std::string unquoted;         // scratch memory of Cells
};

void clear(CsvRows& rows) {
  clear(static_cast<ImpressionRows&>(rows));
  rows.common_features.clear();
}

/// Takes back what the row after the first `count` has left in the columns.
void drop_unfinished_row(CsvRows& rows, std::size_t count, std::size_t dense_columns) {
  rows.sample_id.ends.resize(count);
  rows.sample_id.chars.resize(count == 0 ? 0 : rows.sample_id.ends.back());
  rows.click.resize(count);
  rows.conversion.resize(count);
  rows.common.resize(std::min(count, rows.common.size()));
  rows.dense.resize(count * dense_columns);
  drop_unfinished_row(rows.features);
  drop_unfinished_row(rows.common_features);
}

class CsvReader final : public LogReader {
 public:
  CsvReader(RowsFile file, char delimiter, Schema schema, std::vector<Column> columns, bool labels_required,
            bool labelled)
      : file_(std::move(file)),
        delimiter_(delimiter),
        schema_(std::move(schema)),
        columns_(std::move(columns)),
        labels_required_(labels_required),
        labelled_(labelled),
        has_sample_id_(std::any_of(columns_.begin(), columns_.end(),
                                   [](const Column& column) { return column.role == Role::sample_id; })) {}

  const Schema& schema() const override { return schema_; }
  bool labelled() const override { return labelled_; }
  bool has_common() const override { return schema_.common_key.has_value(); }
  std::vector<std::string> files() const override { return {file_.path}; }
  void read_common(const std::function<void(CommonRows&&)>& sink) override;
  void read_impressions(const std::function<void(ImpressionRows&&)>& sink) override;

 private:
  void read(const std::function<void(CsvRows&&)>& sink) const;
  [[nodiscard]] std::optional<Problem> parse_line(std::string_view line, std::uint64_t row, CsvRows& rows) const;
  [[nodiscard]] std::optional<Problem> parse_cells(std::string_view line, CsvRows& rows) const;
  [[nodiscard]] std::optional<Problem> parse_cell(const Column& column, std::string_view cell, CsvRows& rows) const;

  RowsFile file_;
  char delimiter_;
  Schema schema_;
  std::vector<Column> columns_;
  bool labels_required_;
  bool labelled_;
  bool has_sample_id_;
};

void CsvReader::read(const std::function<void(CsvRows&&)>& sink) const {
  const auto parse = [this](std::string_view line, std::uint64_t row, CsvRows& rows) {
    return parse_line(line, row, rows);
  };
  read_rows<CsvRows>(file_, parse, sink);
}

void CsvReader::read_impressions(const std::function<void(ImpressionRows&&)>& sink) {
  read([&](CsvRows&& rows) { sink(std::move(rows)); });
}

/// Only usable rows define common rows, so that no impression refers to one that is not there. Bad rows and bytes are
/// left for read_impressions to report, once.
void CsvReader::read_common(const std::function<void(CommonRows&&)>& sink) {
  if (!has_common()) return;
  KeySet seen;
  read([&](CsvRows&& rows) {
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

std::optional<Problem> CsvReader::parse_line(std::string_view line, std::uint64_t row, CsvRows& rows) const {
  const std::size_t count = rows.line.size();
  rows.click.push_back(0);
  rows.conversion.push_back(0);
  rows.dense.resize((count + 1) * schema_.dense.size(), std::numeric_limits<float>::quiet_NaN());
  if (!has_sample_id_) rows.sample_id.push_back(fmt::format_int(row).c_str());
  auto problem = parse_cells(line, rows);
  if (problem) {
    drop_unfinished_row(rows, count, schema_.dense.size());
    return problem;
  }
  rows.features.row_end.push_back(rows.features.id.size());
  rows.common_features.row_end.push_back(rows.common_features.id.size());
  return std::nullopt;
}

std::optional<Problem> CsvReader::parse_cells(std::string_view line, CsvRows& rows) const {
  Cells cells(line, delimiter_, rows.unquoted);
  std::string_view cell;
  std::size_t count = 0;
  auto status = Cells::Status::end;
  std::optional<Problem> problem;
  while ((status = cells.next(cell)) == Cells::Status::cell) {
    if (count < columns_.size() && !problem) problem = parse_cell(columns_[count], cell, rows);
    ++count;
  }
  if (status != Cells::Status::end) {
    return Problem{BadRowKind::separator, fmt::format("cell {} {}", count + 1,
                                                      status == Cells::Status::unclosed_quote
                                                          ? "has no closing quote (a cell cannot span lines)"
                                                          : "goes on after its closing quote")};
  }
  if (count != columns_.size()) {  // said first: a cell too many or too few puts the others under wrong names
    return Problem{BadRowKind::field_count,
                   fmt::format("{} columns, but the header has {}: {}", count, columns_.size(), in_quotes(line))};
  }
  return problem;
}

std::optional<Problem> CsvReader::parse_cell(const Column& column, std::string_view cell, CsvRows& rows) const {
  const auto problem = [&](BadRowKind kind, std::string_view what) {
    return Problem{kind, fmt::format("column {} {}: {}", in_quotes(column.name), what, in_quotes(cell))};
  };
  if (column.is_common_key) {
    if (cell.empty()) return problem(BadRowKind::unknown_common, "(the common key) is empty");
    rows.common.push_back(common_key(cell));
  }
  switch (column.role) {
    case Role::none:
      return std::nullopt;
    case Role::click:
      return parse_label(column.name, cell, labels_required_, rows.click.back());
    case Role::conversion:
      return parse_label(column.name, cell, labels_required_, rows.conversion.back());
    case Role::sample_id:
      rows.sample_id.push_back(cell);
      return std::nullopt;
    case Role::sample:
    case Role::common: {
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
      FeatureRows& features = column.role == Role::sample ? rows.features : rows.common_features;
      features.field.push_back(column.index);
      features.id.push_back(id);
      features.value.push_back(1);
      return std::nullopt;
    }
    case Role::dense: {
      if (cell.empty()) return std::nullopt;  // missing: stays NaN
      float& value = *(rows.dense.end() - static_cast<std::ptrdiff_t>(schema_.dense.size() - column.index));
      switch (scan_value(cell, value)) {
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

/// The cells of a line, for the header and for guessing; a bad quote ends them.
std::vector<std::string> split(const std::string& line, char delimiter) {
  std::vector<std::string> result;
  std::string scratch;
  Cells cells(line, delimiter, scratch);
  for (std::string_view cell; cells.next(cell) == Cells::Status::cell;) result.emplace_back(cell);
  return result;
}

std::vector<std::string> split_header(const std::string& path, const std::string& line, char delimiter) {
  std::vector<std::string> header = split(line, delimiter);
  std::map<std::string, std::size_t> first;
  for (std::size_t i = 0; i < header.size(); ++i) {
    std::string& name = header[i];
    name.erase(name.find_last_not_of(' ') + 1);
    name.erase(0, name.find_first_not_of(' '));
    const auto [known, is_new] = first.emplace(name, i);
    if (is_new || name.empty()) continue;
    throw data_error("{}:1: two columns are named {} (columns {} and {}). Rename one.", path, in_quotes(name),
                     known->second + 1, i + 1);
  }
  return header;
}

/// Gives every column of the header the role that the schema has for its name; names it does not have are skipped.
class Plan {
 public:
  Plan(const std::string& path, const std::vector<std::string>& header) : path_(path), header_(header) {
    for (const std::string& name : header) columns_.push_back({name});
  }

  [[nodiscard]] bool has(const std::string& name) const {
    return std::find(header_.begin(), header_.end(), name) != header_.end();
  }
  Column& column(const std::string& name, const char* key) {
    const auto found = std::find(header_.begin(), header_.end(), name);
    if (found == header_.end()) {
      throw data_error("{}:1: the header lacks the column {} that the schema names as {}. {}", path_, in_quotes(name),
                       key, did_you_mean(name, header_, fmt::format("It has {}.", listed(header_))));
    }
    return columns_[static_cast<std::size_t>(found - header_.begin())];
  }
  void set(const std::string& name, const char* key, Role role, std::size_t index = 0) {
    Column& chosen = column(name, key);
    if (chosen.role != Role::none) {
      throw data_error("{}:1: the schema names the column {} as {} and as something else. Give it one role.", path_,
                       in_quotes(name), key);
    }
    chosen.role = role;
    chosen.index = static_cast<std::uint16_t>(index);
  }
  [[nodiscard]] const std::vector<std::string>& header() const { return header_; }
  [[nodiscard]] std::vector<Column>& columns() { return columns_; }

 private:
  const std::string& path_;
  const std::vector<std::string>& header_;
  std::vector<Column> columns_;
};

void plan_features(Plan& plan, const Schema& schema) {
  const std::vector<Field> sample = schema.side(Side::sample);
  const std::vector<Field> common = schema.side(Side::common);
  for (std::size_t i = 0; i < sample.size(); ++i) plan.set(sample[i].name, "sample", Role::sample, i);
  for (std::size_t i = 0; i < common.size(); ++i) plan.set(common[i].name, "common", Role::common, i);
  for (std::size_t i = 0; i < schema.dense.size(); ++i) plan.set(schema.dense[i], "dense", Role::dense, i);
  if (schema.common_key) plan.column(*schema.common_key, "common_key").is_common_key = true;
}

void plan_sample_id(Plan& plan, const Schema& schema) {
  if (schema.sample_id) return plan.set(*schema.sample_id, "sample_id", Role::sample_id);
  for (Column& column : plan.columns()) {  // a run's schema may come from a log without this column
    if (column.role == Role::none && equal_ignoring_case(column.name, "sample_id")) {
      column.role = Role::sample_id;
      return;
    }
  }
}

/// False if the log has no labels and needs none.
bool plan_labels(Plan& plan, const Schema& schema, bool required, const std::vector<std::string>& first_row) {
  const auto is_empty = [&](const std::string& name) {
    const auto found = std::find(plan.header().begin(), plan.header().end(), name);
    const auto column = static_cast<std::size_t>(found - plan.header().begin());
    return column >= first_row.size() || first_row[column].empty();
  };
  if (!required && (is_empty(schema.click) || is_empty(schema.conversion))) return false;
  plan.set(schema.click, "click", Role::click);
  plan.set(schema.conversion, "conversion", Role::conversion);
  return true;
}

}  // namespace

std::unique_ptr<LogReader> open_csv_log(const std::string& path, char delimiter, const ReaderOptions& options,
                                        std::size_t chunk_bytes) {
  const std::vector<std::string> lines = first_lines(path, path, 1 + kGuessRows);
  const std::vector<std::string> header = split_header(path, lines.front(), delimiter);
  if (lines.size() == 1) throw data_error("{}:1: a header and no rows. Check how the file was written.", path);
  std::vector<std::vector<std::string>> rows;
  for (std::size_t i = 1; i < lines.size(); ++i) rows.push_back(split(lines[i], delimiter));

  const bool guessed = options.schema == nullptr;
  Schema schema = guessed ? guess_schema(header, rows, options.labels_required, path) : *options.schema;
  if (schema.count(Side::common) > 0 && !schema.common_key) {
    throw data_error("{}: the schema has common fields but no common_key. Add common_key = \"column\" to it.", path);
  }
  refuse_label_features(schema, path);
  Plan plan(path, header);
  plan_features(plan, schema);
  plan_sample_id(plan, schema);
  const bool labelled = plan_labels(plan, schema, options.labels_required, rows.front());
  for (std::size_t i = 0; guessed && i < header.size(); ++i) {
    plan.columns()[i].whole_numbers = column_kind(rows, i) <= ColumnKind::whole_numbers;
  }
  return std::make_unique<CsvReader>(RowsFile{path, path, 1, options.threads, chunk_bytes}, delimiter,
                                     std::move(schema), std::move(plan.columns()), options.labels_required, labelled);
}

}  // namespace esmm
