#pragma once
// The cells of a column of an Arrow batch: numbers, or the text that a CSV file would have.
#include <arrow/api.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "io/table.hpp"

namespace esmm {

/// What cells of the type hold: of a list its elements, of a map its keys. Nothing where they make no cells.
[[nodiscard]] std::optional<ColumnKind> kind_of(const arrow::DataType& type);
[[nodiscard]] bool is_list(const arrow::DataType& type);  // or a map

/// One value after another of an array that is no list, decoded from its dictionary where it has one.
class ArrowValues {
 public:
  explicit ArrowValues(const arrow::Array& array);

  /// No value: null, or NaN, which is how pandas writes that.
  [[nodiscard]] bool is_missing(std::int64_t i) const;
  [[nodiscard]] std::optional<std::int64_t> integer(std::int64_t i) const;  // where the type is one that fits
  [[nodiscard]] std::optional<double> real(std::int64_t i) const;           // where the type is a float or a double
  /// Floats beyond this have lost digits: 2^24 or 2^53.
  [[nodiscard]] double exact_limit() const;
  void append_text(std::int64_t i, std::string& text) const;

 private:
  [[nodiscard]] std::int64_t place(std::int64_t i) const;

  const arrow::DictionaryArray* dictionary_ = nullptr;
  const arrow::Array* values_;
};

/// The column of a batch: per row one cell, or as many as its list has.
class ArrowCells {
 public:
  explicit ArrowCells(const arrow::Array& array);

  /// Places of the row's cells among `values`; none for a null list.
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> range(std::int64_t row) const;
  [[nodiscard]] bool is_list() const { return is_list_; }
  [[nodiscard]] const ArrowValues& values() const { return values_; }
  [[nodiscard]] const std::optional<ArrowValues>& weights() const { return weights_; }  // of a map

 private:
  const arrow::Array& array_;
  bool is_list_;
  ArrowValues values_;
  std::optional<ArrowValues> weights_;
};

}  // namespace esmm
