#pragma once
#include <arrow/api.h>
#include <parquet/arrow/reader.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/table.hpp"

namespace esmm {

/// Consecutive rows of one row group.
struct ParquetBatch {
  std::shared_ptr<arrow::RecordBatch> rows;
  std::string file;
  int row_group = 0;            // counting from 0, as Parquet's tools do
  std::uint64_t first_row = 1;  // in the file, counting from 1
  std::uint64_t first_in_log = 1;
  std::uint64_t bytes = 0;  // of the file, that these rows stand for
};

/// One open file. Throws Error: io for what the system refuses to read, data for what is not Parquet, or damaged.
class ParquetFile {
 public:
  ParquetFile(std::string path, std::size_t batch_rows);
  ~ParquetFile();

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const arrow::Schema& schema() const { return *schema_; }
  [[nodiscard]] std::uint64_t rows() const { return rows_; }
  /// Chooses the columns to read, by name. Throws Error (data) if one is not there or its type does not fit its role.
  void select(const std::vector<TableColumn>& columns);
  /// The next batch of the chosen columns; false at the end. Decodes a page per column at a time.
  [[nodiscard]] bool next(ParquetBatch& batch);

 private:
  class Input;
  void check(const arrow::Status& status) const;
  [[nodiscard]] bool next_row_group();

  std::string path_;
  std::shared_ptr<Input> input_;
  std::unique_ptr<parquet::arrow::FileReader> reader_;
  std::shared_ptr<arrow::Schema> schema_;
  std::uint64_t rows_ = 0;
  std::vector<int> leaves_;  // chosen columns of the file, which numbers the parts of a nested column apart
  std::unique_ptr<arrow::RecordBatchReader> batches_;  // of the row group
  int row_group_ = -1;
  std::uint64_t rows_read_ = 0;
};

}  // namespace esmm
