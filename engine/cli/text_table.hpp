#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace esmm {

/// A table for people: columns as wide as they need to be, text left, numbers right.
class TextTable {
 public:
  /// `text_columns` from the left hold text.
  explicit TextTable(std::vector<std::string> head, std::size_t text_columns = 1);
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] std::string str() const;

 private:
  std::size_t text_columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// part / whole as "3.89 %", with as many digits as small rates need; "-" when whole is 0.
[[nodiscard]] std::string percent(std::uint64_t part, std::uint64_t whole);
/// 1234567 → "1.2 MB".
[[nodiscard]] std::string byte_size(std::uint64_t bytes);

}  // namespace esmm
