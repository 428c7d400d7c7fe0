#pragma once
// Parquet in and out, through Apache Arrow. Where the build has none (io/parquet/absent.cpp), everything that is named
// here throws Error (usage) and says what to install; no other file needs to know.
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "io/file.hpp"
#include "io/rows.hpp"

namespace esmm {

/// The library that reads and writes Parquet, with its version; empty where the build has none.
[[nodiscard]] std::string parquet_library();

/// Opens a .parquet file, or a directory of them, as a log: its columns mean what the columns of a CSV file mean, and a
/// list is a field with several ids. Row groups are read as a stream of batches of `batch_rows` (small in tests). Lines
/// are rows of the file, from 1.
[[nodiscard]] std::unique_ptr<LogReader> open_parquet_log(const std::string& path, const ReaderOptions& options,
                                                          std::size_t batch_rows = 8192);

struct ParquetColumn {
  std::string name;
  std::variant<std::vector<std::int64_t>, std::vector<float>, StringColumn> values;
};

/// Writes a table, one row group after another, without nulls. The bytes depend on the values and the library only.
class ParquetWriter {
 public:
  /// `out` must outlive the writer, which does not commit it.
  explicit ParquetWriter(StagedFile& out);
  ~ParquetWriter();
  ParquetWriter(const ParquetWriter&) = delete;
  ParquetWriter& operator=(const ParquetWriter&) = delete;
  /// Names, types and order of the columns are those of the first row group; all have as many values.
  void write_row_group(const std::vector<ParquetColumn>& columns);
  /// Ends the file; at least one row group was written.
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace esmm
