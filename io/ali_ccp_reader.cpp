#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "io/field_lookup.hpp"
#include "io/readers.hpp"
#include "io/scan.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

constexpr char kRecordEnd = '\x01';
constexpr char kFieldEnd = '\x02';
constexpr char kIdEnd = '\x03';

struct Record {
  int field = 0;
  std::uint64_t id = 0;
  float value = 0;
};

/// Parses the `features` column of one side: records field \x02 id \x03 value, joined by \x01.
class RecordParser {
 public:
  RecordParser(const Schema& schema, Side side) : side_(side), lookup_(schema, side) {}

  /// Appends one row, or leaves `rows` as it was and says what is wrong.
  [[nodiscard]] std::optional<Problem> parse(std::string_view text, std::string_view feature_num,
                                             FeatureRows& rows) const;

 private:
  bool scan_usual(const char*& at, Record& record) const;
  [[nodiscard]] std::optional<Problem> scan_any(std::string_view text, Record& record) const;
  [[nodiscard]] std::optional<Problem> fill(std::string_view text, std::uint64_t count, FeatureRows& rows,
                                            std::size_t& used) const;

  Side side_;
  FieldLookup lookup_;
};

/// A record in its usual form; false, with `at` anywhere, when it needs scan_any. Never passes the end of the line:
/// no field's name holds a line end, and the numbers stop at it.
inline bool RecordParser::scan_usual(const char*& at, Record& record) const {
  const std::uint64_t word = load_word(at);
  const int length = find_in_word(word, kFieldEnd);
  if (length == 8) return false;
  record.field = lookup_.find_short(word, length);
  if (record.field == FieldLookup::kUnknown || record.field == FieldLookup::kOtherSide) return false;
  at += length + 1;
  const int digits = scan_digits(at, record.id);
  if (digits == 0 || digits > 18 || *at != kIdEnd) return false;
  ++at;
  // Most values are 1.0. Knowing that by one comparison lets the processor go on to the next record ahead of time.
  constexpr std::uint32_t one = '1' | '.' << 8U | '0' << 16U | kRecordEnd << 24U;
  if (static_cast<std::uint32_t>(load_word(at)) == one) {
    at += 3;
    record.value = 1;
    return true;
  }
  return scan_short_float(at, record.value);
}

std::optional<Problem> RecordParser::scan_any(std::string_view text, Record& record) const {
  const auto problem = [&](BadRowKind kind, std::string_view what) {
    return Problem{kind, fmt::format("{}: {}", what, in_quotes(text))};
  };
  const std::size_t field_end = text.find(kFieldEnd);
  if (field_end == std::string_view::npos) {
    return problem(BadRowKind::separator, "has no field separator (\\x02)");
  }
  const std::size_t id_end = text.find(kIdEnd, field_end);
  if (id_end == std::string_view::npos) return problem(BadRowKind::separator, "has no value separator (\\x03)");

  record.field = lookup_.find(text.substr(0, field_end));
  if (record.field == FieldLookup::kOtherSide) {
    return problem(BadRowKind::unknown_field,
                   side_ == Side::sample ? "has a common field in a sample row" : "has a sample field in a common row");
  }
  if (record.field == FieldLookup::kUnknown) {
    return problem(BadRowKind::unknown_field, lookup_.complaint(text.substr(0, field_end)));
  }
  switch (scan_id(text.substr(field_end + 1, id_end - field_end - 1), record.id)) {
    case Scan::not_a_number:
      return problem(BadRowKind::number, "has an id that is not a whole number");
    case Scan::out_of_range:
      return problem(BadRowKind::range, "has an id of 2^63 or more");
    case Scan::ok:
      break;
  }
  switch (scan_float(text.substr(id_end + 1), record.value)) {
    case Scan::not_a_number:
      return problem(BadRowKind::number, "has a value that is not a decimal number");
    case Scan::out_of_range:
      return problem(BadRowKind::range, "has a value outside the range of a float");
    case Scan::ok:
      break;
  }
  return std::nullopt;
}

std::optional<Problem> RecordParser::parse(std::string_view text, std::string_view feature_num,
                                           FeatureRows& rows) const {
  std::uint64_t count = 0;
  if (scan_id(feature_num, count) != Scan::ok) {
    return Problem{BadRowKind::number, fmt::format("feature_num is not a whole number: {}", in_quotes(feature_num))};
  }
  const std::uint64_t most = text.size() / 2 + 1;  // an untrusted count must not decide how much memory is taken
  std::size_t used = rows.id.size();
  const std::size_t room = used + std::min(count, most);
  rows.field.resize(room);
  rows.id.resize(room);
  rows.value.resize(room);
  auto problem = fill(text, count, rows, used);
  if (!problem) rows.row_end.push_back(used);
  drop_unfinished_row(rows);
  return problem;
}

std::optional<Problem> RecordParser::fill(std::string_view text, std::uint64_t count, FeatureRows& rows,
                                          std::size_t& used) const {
  const char* at = text.data();
  const char* const end = at + text.size();
  std::uint64_t number = 0;
  while (number < count && used < rows.id.size() && at != end) {
    if (number > 0 && *at++ != kRecordEnd) break;
    ++number;
    Record record;
    const char* const start = at;
    if (!scan_usual(at, record) || (at != end && *at != kRecordEnd)) {
      at = find_char(start, end, kRecordEnd);
      auto problem = scan_any({start, static_cast<std::size_t>(at - start)}, record);
      if (problem) return Problem{problem->kind, fmt::format("record {} {}", number, problem->what)};
    }
    if (record.field == FieldLookup::kIgnored) continue;
    rows.field[used] = static_cast<std::uint16_t>(record.field);
    rows.id[used] = record.id;
    rows.value[used] = record.value;
    ++used;
  }
  if (number == count && at == end) return std::nullopt;
  const auto actual = text.empty() ? 0 : std::count(text.begin(), text.end(), kRecordEnd) + 1;
  return Problem{BadRowKind::field_count,
                 fmt::format("feature_num says {}, but the line holds {} records", count, actual)};
}

/// The columns before `features`, and `features`: the rest of the line. Returns how many columns there are.
template <std::size_t columns>
std::size_t split(std::string_view line, std::array<std::string_view, columns>& cells) {
  const char* at = line.data();
  const char* const end = at + line.size();
  for (std::size_t i = 0; i + 1 < columns; ++i) {
    const char* const comma = find_char(at, end, ',');
    cells[i] = {at, static_cast<std::size_t>(comma - at)};
    if (comma == end) return i + 1;
    at = comma + 1;
  }
  cells.back() = {at, static_cast<std::size_t>(end - at)};
  return columns;
}

class AliCcpReader final : public LogReader {
 public:
  AliCcpReader(std::vector<HalfFiles> halves, const ReaderOptions& options, std::size_t chunk_bytes);

  const Schema& schema() const override { return schema_; }
  bool labelled() const override { return labelled_; }
  bool has_common() const override { return true; }
  std::vector<std::string> files() const override;
  void read_common(const std::function<void(CommonRows&&)>& sink) override;
  void read_impressions(const std::function<void(ImpressionRows&&)>& sink) override;

 private:
  [[nodiscard]] std::optional<Problem> parse_common(std::string_view line, CommonRows& rows) const;
  [[nodiscard]] std::optional<Problem> parse_skeleton(std::string_view line, ImpressionRows& rows) const;
  [[nodiscard]] RowsFile rows_file(const std::string& path) const {
    return {path, base_name(path), 0, threads_, chunk_bytes_};
  }

  std::vector<HalfFiles> halves_;
  Schema schema_;
  bool labels_required_;
  int threads_;
  std::size_t chunk_bytes_;
  RecordParser sample_;
  RecordParser common_;
  bool labelled_ = true;
};

AliCcpReader::AliCcpReader(std::vector<HalfFiles> halves, const ReaderOptions& options, std::size_t chunk_bytes)
    : halves_(std::move(halves)),
      schema_(options.schema == nullptr ? ali_ccp_schema() : *options.schema),
      labels_required_(options.labels_required),
      threads_(options.threads),
      chunk_bytes_(chunk_bytes),
      sample_(schema_, Side::sample),
      common_(schema_, Side::common) {
  for (const HalfFiles& half : halves_) {
    static_cast<void>(first_lines(half.common, base_name(half.common), 1));  // readable and not empty
    const std::string line = first_lines(half.skeleton, base_name(half.skeleton), 1).front();
    std::array<std::string_view, 4> cells;
    const std::size_t columns = split(line, cells);
    const bool no_label = columns == cells.size() && (cells[1].empty() || cells[2].empty());
    labelled_ = labelled_ && (labels_required_ || !no_label);
  }
}

std::vector<std::string> AliCcpReader::files() const {
  std::vector<std::string> paths;
  for (const HalfFiles& half : halves_) {
    paths.push_back(half.common);
    paths.push_back(half.skeleton);
  }
  return paths;
}

std::optional<Problem> AliCcpReader::parse_common(std::string_view line, CommonRows& rows) const {
  std::array<std::string_view, 3> cells;
  if (const std::size_t columns = split(line, cells); columns < cells.size()) {
    return Problem{BadRowKind::field_count,
                   fmt::format("{} columns instead of 3 (common_feature_index,feature_num,features): {}", columns,
                               in_quotes(line))};
  }
  if (auto problem = common_.parse(cells[2], cells[1], rows.features)) return problem;
  rows.key.push_back(common_key(cells[0]));
  return std::nullopt;
}

std::optional<Problem> AliCcpReader::parse_skeleton(std::string_view line, ImpressionRows& rows) const {
  std::array<std::string_view, 6> cells;
  if (const std::size_t columns = split(line, cells); columns < cells.size()) {
    return Problem{BadRowKind::field_count,
                   fmt::format("{} columns instead of 6 "
                               "(sample_id,click,conversion,common_feature_index,feature_num,features): {}",
                               columns, in_quotes(line))};
  }
  Labels labels;
  if (auto problem = parse_labels(cells[1], cells[2], labels_required_, labels)) return problem;
  if (auto problem = sample_.parse(cells[5], cells[4], rows.features)) return problem;
  rows.sample_id.push_back(cells[0]);
  rows.click.push_back(labels.click);
  rows.conversion.push_back(labels.conversion);
  rows.common.push_back(common_key(cells[3]));
  return std::nullopt;
}

void AliCcpReader::read_common(const std::function<void(CommonRows&&)>& sink) {
  const auto parse = [this](std::string_view line, std::uint64_t /*row*/, CommonRows& rows) {
    return parse_common(line, rows);
  };
  for (const HalfFiles& half : halves_) read_rows<CommonRows>(rows_file(half.common), parse, sink);
}

void AliCcpReader::read_impressions(const std::function<void(ImpressionRows&&)>& sink) {
  const auto parse = [this](std::string_view line, std::uint64_t /*row*/, ImpressionRows& rows) {
    return parse_skeleton(line, rows);
  };
  for (const HalfFiles& half : halves_) read_rows<ImpressionRows>(rows_file(half.skeleton), parse, sink);
}

}  // namespace

std::unique_ptr<LogReader> open_ali_ccp_log(const std::string& directory, const ReaderOptions& options,
                                            std::size_t chunk_bytes) {
  std::vector<HalfFiles> halves = find_halves(directory, options.half);
  if (halves.empty()) {
    const char* const part = options.half == Half::whole ? "*" : options.half == Half::train ? "train" : "test";
    throw data_error("{}: no sample_skeleton_{}.csv (nor .csv.gz, .csv.zst). Add it, or pass another directory.",
                     directory, part);
  }
  for (const HalfFiles& half : halves) {
    if (!half.common.empty()) continue;
    throw data_error("{}: no common_features file beside it. Put common_features_*.csv (or .csv.gz, .csv.zst) there.",
                     half.skeleton);
  }
  if (options.schema != nullptr && !options.schema->dense.empty()) {
    throw data_error(
        "{}: the schema has dense columns ({}), which raw Ali-CCP files do not have. Pass the log that the "
        "schema was made for.",
        directory, listed(options.schema->dense));
  }
  return std::make_unique<AliCcpReader>(std::move(halves), options, chunk_bytes);
}

}  // namespace esmm
