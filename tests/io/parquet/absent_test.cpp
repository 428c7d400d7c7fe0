#include "io/parquet.hpp"
#include "tests/io/log_files.hpp"

namespace esmm {
namespace {

TEST(ParquetAbsent, SaysWhatToInstall) {
  EXPECT_EQ(parquet_library(), "");
  const test::TemporaryDirectory directory;
  const std::string path = directory.write("log.parquet", "PAR1");
  const std::string remedy =
      ": this build has no Parquet. Install Apache Arrow (pip install pyarrow), configure with -DESMM_PYARROW=PYTHON "
      "and "
      "build again; or use CSV.";
  EXPECT_EQ(test::error_of([&] { static_cast<void>(open_log(path, test::options())); }, ExitCode::usage),
            path + remedy);
  StagedFile out(directory / "out.parquet");
  EXPECT_EQ(test::error_of([&] { ParquetWriter{out}; }, ExitCode::usage), "Parquet output" + remedy);
}

}  // namespace
}  // namespace esmm
