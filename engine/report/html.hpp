#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace esmm::report {

/// Text as HTML content or as the value of a quoted attribute: nothing of it is markup. Control characters become
/// U+FFFD.
[[nodiscard]] std::string escape(std::string_view text);

/// One cell of a table; its text is escaped when it is written.
struct Cell {
  enum class Kind { text, number, code };
  std::string text;
  Kind kind = Kind::text;
  bool strong = false;
  std::optional<double> bar = std::nullopt;  // a share in [0, 1], drawn behind the number
};
[[nodiscard]] Cell text(std::string value);
[[nodiscard]] Cell code(std::string value);           // as typed: names, paths, options
[[nodiscard]] Cell number(std::string value);         // aligned by its right edge
[[nodiscard]] Cell share(double part, double whole);  // "12.3 %", with a bar; "–" of nothing
[[nodiscard]] Cell count(std::uint64_t value);        // 1234567 → "1 234 567", by narrow spaces

/// A table with a caption, a row of heads and, in its first column, a head per row. Wide ones scroll on their own.
class Table {
 public:
  Table(std::string caption, std::vector<Cell> heads) : caption_(std::move(caption)), heads_(std::move(heads)) {}
  void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  [[nodiscard]] std::string html() const;

 private:
  std::string caption_;
  std::vector<Cell> heads_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace esmm::report
