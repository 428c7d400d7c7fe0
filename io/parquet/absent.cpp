// A build without Apache Arrow.
#include "io/parquet.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

Error no_parquet(const std::string& what) {
  return usage_error(
      "{}: this build has no Parquet. Install Apache Arrow (pip install pyarrow), configure with -DESMM_PYARROW=PYTHON "
      "and build again; or use CSV.",
      what);
}

}  // namespace

struct ParquetWriter::Impl {};

std::string parquet_library() {
  return {};
}

std::unique_ptr<LogReader> open_parquet_log(const std::string& path, const ReaderOptions&, std::size_t) {
  throw no_parquet(path);
}

ParquetWriter::ParquetWriter(StagedFile&) {
  throw no_parquet("Parquet output");
}
ParquetWriter::~ParquetWriter() = default;
void ParquetWriter::write_row_group(const std::vector<ParquetColumn>&) {}
void ParquetWriter::finish() {}

}  // namespace esmm
