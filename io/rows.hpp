#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/schema.hpp"

namespace esmm {

/// Many short strings in one allocation.
struct StringColumn {
  std::vector<char> chars;
  std::vector<std::uint64_t> ends;
  void push_back(std::string_view s) {
    chars.insert(chars.end(), s.begin(), s.end());
    ends.push_back(chars.size());
  }
  [[nodiscard]] std::size_t size() const { return ends.size(); }
  [[nodiscard]] std::string_view operator[](std::size_t i) const {
    const std::uint64_t begin = i == 0 ? 0 : ends[i - 1];
    return {chars.data() + begin, static_cast<std::size_t>(ends[i] - begin)};
  }
  void clear() {
    chars.clear();
    ends.clear();
  }
};

/// A feature id is 64 bits: the number itself when the text is a decimal in [0, 2^63) without leading zeros, else the
/// hash of the text with the top bit set (so the two never meet).
[[nodiscard]] std::uint64_t feature_id(std::string_view text);

/// Identity of a common row: the 128-bit XXH3 of its key text.
struct CommonKey {
  std::uint64_t high = 0, low = 0;
  friend auto operator<=>(const CommonKey&, const CommonKey&) = default;
};
[[nodiscard]] CommonKey common_key(std::string_view text);

/// Features of consecutive rows of one side, in the order of the text. `field` is the index within its side.
struct FeatureRows {
  std::vector<std::uint64_t> row_end;  // end of row r in the three columns below
  std::vector<std::uint16_t> field;
  std::vector<std::uint64_t> id;
  std::vector<float> value;  // 1 where the text has none
  void clear() {
    row_end.clear();
    field.clear();
    id.clear();
    value.clear();
  }
};

enum class BadRowKind : std::uint8_t {
  field_count,       // wrong number of columns or of features
  separator,         // a separator is missing inside a record
  number,            // not a number where one is needed
  range,             // a number out of its range
  label,             // click or conversion is neither 0 nor 1
  unknown_field,     // a field that the schema does not have
  unknown_common,    // refers to a common row that does not exist
  duplicate_common,  // a common row defined twice
  count_,
};
[[nodiscard]] std::string_view name(BadRowKind kind);

/// One row that could not be used: `message` is complete ("file:line: what. remedy.").
struct BadRow {
  BadRowKind kind = BadRowKind::field_count;
  std::string message;
  std::uint64_t line = 0;
};

/// Consecutive parsed rows of one file of a log, in file order. Bad rows are left out of the columns and listed in
/// `bad`.
struct CommonRows {
  std::string file;                 // as messages name it
  std::vector<CommonKey> key;       // [R]
  FeatureRows features;             // [R]
  std::vector<std::uint64_t> line;  // [R] for messages
  std::vector<BadRow> bad;
  std::uint64_t text_bytes = 0;
};
struct ImpressionRows {
  std::string file;                      // as messages name it
  StringColumn sample_id;                // [R]
  std::vector<std::uint8_t> click;       // [R]; 0 when the log has no labels
  std::vector<std::uint8_t> conversion;  // [R]
  std::vector<CommonKey> common;         // [R] or empty when the log has no common rows
  FeatureRows features;                  // [R] sample side
  std::vector<float> dense;              // [R * E]; a missing value is NaN
  std::vector<std::uint64_t> line;       // [R] for messages
  std::vector<BadRow> bad;
  std::uint64_t text_bytes = 0;
};

/// A log in any raw format. Streams: memory stays bounded whatever the size. Parsing runs on `threads` workers; the
/// sinks are called in file order on the calling thread. Each read can be repeated. Throws Error (data, io) for what
/// concerns the whole file (truncated gzip, wrong header, empty); rows that cannot be used are reported as bad rows.
class LogReader {
 public:
  virtual ~LogReader() = default;
  [[nodiscard]] virtual const Schema& schema() const = 0;
  [[nodiscard]] virtual bool labelled() const = 0;
  [[nodiscard]] virtual bool has_common() const = 0;
  /// The files it reads, in order (for fingerprints and messages).
  [[nodiscard]] virtual std::vector<std::string> files() const = 0;
  virtual void read_common(const std::function<void(CommonRows&&)>& sink) = 0;
  virtual void read_impressions(const std::function<void(ImpressionRows&&)>& sink) = 0;
};

enum class Half { whole, train, test };  // which half of a raw Ali-CCP directory

/// What a PATH of the command line is.
enum class PathKind { packed, packed_halves /* train/ and test/ inside */, ali_ccp_directory, csv, tsv, text, parquet };
/// Decides by the directory's contents, or by the name beneath .gz/.zst. Throws Error: io (exit 5) when PATH cannot be
/// read, data (exit 3) when it is nothing we know, each saying what was expected.
[[nodiscard]] PathKind classify_path(const std::string& path);
/// Does the directory have that half (sample_skeleton_<half>.csv[.gz|.zst] with its common_features)?
[[nodiscard]] bool has_half(const std::string& directory, Half half);

struct ReaderOptions {
  Half half = Half::train;         // Ali-CCP directories
  const Schema* schema = nullptr;  // from --schema or from the run; null: Ali-CCP's own, or guessed (CSV), or
                                   // collected in a first pass (text)
  bool labels_required = true;     // false: predict
  int threads = 0;
};
/// Opens a raw log (not a packed dataset).
[[nodiscard]] std::unique_ptr<LogReader> open_log(const std::string& path, const ReaderOptions& options);

}  // namespace esmm
