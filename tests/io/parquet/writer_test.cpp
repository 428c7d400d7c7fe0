#include <arrow/api.h>
#include <arrow/io/file.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <parquet/arrow/reader.h>

#include "io/parquet.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

using test::TemporaryDirectory;

std::vector<ParquetColumn> columns(std::int64_t first) {
  StringColumn name;
  for (const char* text : {"a", "", "c, \"d\""}) name.push_back(text);
  return {{"id", std::vector<std::int64_t>{first, first + 1, first + 2}},
          {"name", name},
          {"p", std::vector<float>{0.1F, 0.5F, 1.0F}}};
}

TEST(ParquetWriter, WritesOneRowGroupPerCallThatArrowReadsBack) {
  const TemporaryDirectory directory;
  const std::string path = directory / "out.parquet";
  StagedFile out(path);
  ParquetWriter writer(out);
  writer.write_row_group(columns(7));
  writer.write_row_group(columns(1LL << 60));
  writer.finish();
  EXPECT_FALSE(std::filesystem::exists(path));
  out.commit();

  const auto file = arrow::io::ReadableFile::Open(path).ValueOrDie();
  const auto reader = parquet::arrow::OpenFile(file, arrow::default_memory_pool()).ValueOrDie();
  EXPECT_EQ(reader->num_row_groups(), 2);
  const auto table = reader->ReadTable().ValueOrDie();
  EXPECT_EQ(table->schema()->ToString(), "id: int64 not null\nname: string not null\np: float not null");
  EXPECT_EQ(table->num_rows(), 6);
  EXPECT_EQ(table->column(0)->GetScalar(5).ValueOrDie()->ToString(), "1152921504606846978");
  EXPECT_EQ(table->column(1)->GetScalar(2).ValueOrDie()->ToString(), "c, \"d\"");
  EXPECT_EQ(std::static_pointer_cast<arrow::FloatScalar>(table->column(2)->GetScalar(3).ValueOrDie())->value, 0.1F);
}

TEST(ParquetWriter, LeavesNothingWhenItIsNotFinished) {
  const TemporaryDirectory directory;
  {
    StagedFile out(directory / "out.parquet");
    ParquetWriter writer(out);
    writer.write_row_group(columns(7));
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

}  // namespace
}  // namespace esmm
