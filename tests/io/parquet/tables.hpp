#pragma once
// Parquet files made of columns in JSON.
#include <arrow/api.h>
#include <arrow/io/file.h>
#include <arrow/json/from_string.h>
#include <parquet/arrow/writer.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace esmm::test {

struct JsonColumn {
  std::string name;
  std::shared_ptr<arrow::DataType> type;
  std::string values;  // "[1, null, 3]"
};

inline void require(const arrow::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

/// Writes the table; returns its path. With `store_types` the types that Parquet does not have, such as dictionaries
/// and large strings, come back when it is read.
inline std::string write_table(const std::string& path, const std::vector<JsonColumn>& columns,
                               std::int64_t row_group = 1 << 20, bool store_types = true) {
  arrow::FieldVector fields;
  arrow::ArrayVector arrays;
  for (const JsonColumn& column : columns) {
    fields.push_back(arrow::field(column.name, column.type));
    arrays.push_back(arrow::json::ArrayFromJSONString(column.type, column.values).ValueOrDie());
  }
  const auto out = arrow::io::FileOutputStream::Open(path).ValueOrDie();
  const auto properties = parquet::WriterProperties::Builder().build();
  parquet::ArrowWriterProperties::Builder arrow_properties;
  if (store_types) arrow_properties.store_schema();
  require(parquet::arrow::WriteTable(*arrow::Table::Make(arrow::schema(fields), arrays), arrow::default_memory_pool(),
                                     out, row_group, properties, arrow_properties.build()));
  require(out->Close());
  return path;
}

}  // namespace esmm::test
