#include "io/parquet/cells.hpp"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

namespace esmm {
namespace {

using arrow::Type;

template <class Array>
decltype(auto) as(const arrow::Array& array) {
  return static_cast<const Array&>(array);
}

/// The array of a list's elements, or of a map's keys; of anything else itself.
const arrow::Array& elements(const arrow::Array& array) {
  switch (array.type_id()) {
    case Type::LIST:
      return *as<arrow::ListArray>(array).values();
    case Type::LARGE_LIST:
      return *as<arrow::LargeListArray>(array).values();
    case Type::FIXED_SIZE_LIST:
      return *as<arrow::FixedSizeListArray>(array).values();
    case Type::MAP:
      return *as<arrow::MapArray>(array).keys();
    default:
      return array;
  }
}

}  // namespace

bool is_list(const arrow::DataType& type) {
  return type.id() == Type::LIST || type.id() == Type::LARGE_LIST || type.id() == Type::FIXED_SIZE_LIST ||
         type.id() == Type::MAP;
}

std::optional<ColumnKind> kind_of(const arrow::DataType& type) {
  switch (type.id()) {
    case Type::NA:
      return ColumnKind::empty;
    case Type::BOOL:
    case Type::INT8:
    case Type::INT16:
    case Type::INT32:
    case Type::INT64:
    case Type::UINT8:
    case Type::UINT16:
    case Type::UINT32:
    case Type::UINT64:
      return ColumnKind::whole_numbers;
    case Type::FLOAT:
    case Type::DOUBLE:
      return ColumnKind::decimals;
    case Type::DECIMAL128:
      return static_cast<const arrow::DecimalType&>(type).scale() > 0 ? ColumnKind::decimals
                                                                      : ColumnKind::whole_numbers;
    case Type::STRING:
    case Type::BINARY:
    case Type::LARGE_STRING:
    case Type::LARGE_BINARY:
    case Type::STRING_VIEW:
    case Type::BINARY_VIEW:
      return ColumnKind::text;
    case Type::DICTIONARY:
      return kind_of(*static_cast<const arrow::DictionaryType&>(type).value_type());
    case Type::LIST:
    case Type::LARGE_LIST:
    case Type::FIXED_SIZE_LIST: {
      const arrow::DataType& element = *static_cast<const arrow::BaseListType&>(type).value_type();
      return is_list(element) ? std::nullopt : kind_of(element);
    }
    case Type::MAP: {
      const auto& map = static_cast<const arrow::MapType&>(type);
      const bool number = arrow::is_signed_integer(map.item_type()->id()) || map.item_type()->id() == Type::FLOAT ||
                          map.item_type()->id() == Type::DOUBLE;
      return number && !is_list(*map.key_type()) ? kind_of(*map.key_type()) : std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

ArrowValues::ArrowValues(const arrow::Array& array) : values_(&array) {
  if (array.type_id() != Type::DICTIONARY) return;
  dictionary_ = &as<arrow::DictionaryArray>(array);
  values_ = dictionary_->dictionary().get();
}

std::int64_t ArrowValues::place(std::int64_t i) const {
  return dictionary_ == nullptr ? i : dictionary_->GetValueIndex(i);
}

bool ArrowValues::is_missing(std::int64_t i) const {
  if (dictionary_ != nullptr && dictionary_->IsNull(i)) return true;
  if (values_->type_id() == Type::NA || values_->IsNull(place(i))) return true;
  const std::optional<double> number = real(i);
  return number && std::isnan(*number);
}

std::optional<std::int64_t> ArrowValues::integer(std::int64_t i) const {
  const std::int64_t at = place(i);
  switch (values_->type_id()) {
    case Type::BOOL:
      return as<arrow::BooleanArray>(*values_).Value(at) ? 1 : 0;
    case Type::INT8:
      return as<arrow::Int8Array>(*values_).Value(at);
    case Type::INT16:
      return as<arrow::Int16Array>(*values_).Value(at);
    case Type::INT32:
      return as<arrow::Int32Array>(*values_).Value(at);
    case Type::INT64:
      return as<arrow::Int64Array>(*values_).Value(at);
    case Type::UINT8:
      return as<arrow::UInt8Array>(*values_).Value(at);
    case Type::UINT16:
      return as<arrow::UInt16Array>(*values_).Value(at);
    case Type::UINT32:
      return as<arrow::UInt32Array>(*values_).Value(at);
    default:
      return std::nullopt;
  }
}

std::optional<double> ArrowValues::real(std::int64_t i) const {
  switch (values_->type_id()) {
    case Type::FLOAT:
      return as<arrow::FloatArray>(*values_).Value(place(i));
    case Type::DOUBLE:
      return as<arrow::DoubleArray>(*values_).Value(place(i));
    default:
      return std::nullopt;
  }
}

double ArrowValues::exact_limit() const {
  return values_->type_id() == Type::FLOAT ? 0x1p24 : 0x1p53;
}

void ArrowValues::append_text(std::int64_t i, std::string& text) const {
  const std::int64_t at = place(i);
  switch (values_->type_id()) {
    case Type::UINT64:
      fmt::format_to(std::back_inserter(text), "{}", as<arrow::UInt64Array>(*values_).Value(at));
      return;
    case Type::FLOAT:  // the shortest text that reads back as the same number; 17.0 is 17
      fmt::format_to(std::back_inserter(text), "{}", as<arrow::FloatArray>(*values_).Value(at));
      return;
    case Type::DOUBLE:
      fmt::format_to(std::back_inserter(text), "{}", as<arrow::DoubleArray>(*values_).Value(at));
      return;
    case Type::DECIMAL128:
      text += as<arrow::Decimal128Array>(*values_).FormatValue(at);
      return;
    case Type::STRING:
    case Type::BINARY:
      text += as<arrow::BinaryArray>(*values_).GetView(at);
      return;
    case Type::LARGE_STRING:
    case Type::LARGE_BINARY:
      text += as<arrow::LargeBinaryArray>(*values_).GetView(at);
      return;
    case Type::STRING_VIEW:
    case Type::BINARY_VIEW:
      text += as<arrow::BinaryViewArray>(*values_).GetView(at);
      return;
    default:
      if (const std::optional<std::int64_t> number = integer(i)) text += fmt::format_int(*number).c_str();
  }
}

ArrowCells::ArrowCells(const arrow::Array& array)
    : array_(array), is_list_(esmm::is_list(*array.type())), values_(elements(array)) {
  if (array.type_id() == Type::MAP) weights_.emplace(*as<arrow::MapArray>(array).items());
}

std::pair<std::int64_t, std::int64_t> ArrowCells::range(std::int64_t row) const {
  if (!is_list_) return {row, row + 1};
  if (array_.IsNull(row)) return {0, 0};
  switch (array_.type_id()) {
    case Type::LARGE_LIST: {
      const auto& list = as<arrow::LargeListArray>(array_);
      return {list.value_offset(row), list.value_offset(row + 1)};
    }
    case Type::FIXED_SIZE_LIST: {
      const auto& list = as<arrow::FixedSizeListArray>(array_);
      return {list.value_offset(row), list.value_offset(row) + list.value_length(row)};
    }
    default: {
      const auto& list = as<arrow::ListArray>(array_);  // a map is one
      return {list.value_offset(row), list.value_offset(row + 1)};
    }
  }
}

}  // namespace esmm
