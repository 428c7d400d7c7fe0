#include <sys/stat.h>
#include <unistd.h>

#include "tests/io/log_files.hpp"

namespace esmm {
namespace {

using test::error_of;
using test::TemporaryDirectory;
using ::testing::HasSubstr;

TEST(PathKind, OfFilesIsToldByTheNameBeneathTheCompression) {
  const TemporaryDirectory directory;
  for (const auto& [file, kind] : {std::pair{"a.csv", PathKind::csv},
                                   {"a.CSV", PathKind::csv},
                                   {"a.csv.gz", PathKind::csv},
                                   {"a.b.tsv.zst", PathKind::tsv},
                                   {"a.tsv", PathKind::tsv},
                                   {"a.txt", PathKind::text},
                                   {"a.txt.gz", PathKind::text},
                                   {"a.parquet", PathKind::parquet},
                                   {"a.snappy.PARQUET", PathKind::parquet}}) {
    EXPECT_EQ(classify_path(directory.write(file, "x")), kind) << file;
  }
}

TEST(PathKind, OfDirectoriesIsToldByTheirContents) {
  const TemporaryDirectory directory;
  const auto make = [&](const std::string& name, const std::vector<std::string>& files) {
    for (const std::string& file : files) {
      const std::filesystem::path path = std::filesystem::path((directory / name)) / file;
      std::filesystem::create_directories(path.parent_path());
      std::ofstream(path) << "{}";
    }
    return (directory / name);
  };
  EXPECT_EQ(classify_path(make("packed", {"manifest.json", "blocks.bin"})), PathKind::packed);
  EXPECT_EQ(classify_path(make("halves", {"train/manifest.json", "test/manifest.json"})), PathKind::packed_halves);
  EXPECT_EQ(classify_path(make("raw", {"sample_skeleton_test.csv"})), PathKind::ali_ccp_directory);
  EXPECT_EQ(classify_path(make("raw_zst", {"sample_skeleton_day1.csv.zst"})), PathKind::ali_ccp_directory);
  EXPECT_EQ(classify_path(make("raw", {}) + "/"), PathKind::ali_ccp_directory);
  EXPECT_EQ(classify_path(make("parts", {"part-0.parquet", "_SUCCESS"})), PathKind::parquet);
  EXPECT_THAT(parquet_files(make("parts", {"b.parquet", "a.PARQUET", "_metadata.parquet", ".c.parquet", "d.csv"})),
              testing::ElementsAre(directory / "parts/a.PARQUET", directory / "parts/b.parquet",
                                   directory / "parts/part-0.parquet"));
  EXPECT_THAT(error_of([&] {
                static_cast<void>(classify_path(make("other", {"log.csv", "_metadata.parquet"})));
              }),
              HasSubstr("/other: a directory without manifest.json and without sample_skeleton_*.csv files. Pass a "
                        "packed dataset, a directory with"));
}

TEST(PathKind, RefusesWhatItCannotRead) {
  const TemporaryDirectory directory;
  const std::string skeleton = directory.write("sample_skeleton_train.csv", "x");
  EXPECT_EQ(error_of([&] { static_cast<void>(classify_path(skeleton)); }),
            skeleton + ": one file of a raw Ali-CCP pair. Pass its directory: " + directory.path());
  const std::string common = directory.write("common_features_test.csv.gz", "x");
  EXPECT_THAT(error_of([&] { static_cast<void>(classify_path(common)); }), HasSubstr("Pass its directory"));
  EXPECT_THAT(error_of([&] { static_cast<void>(classify_path(directory.write("log.parquet.gz", "x"))); }),
              HasSubstr("/log.parquet.gz: the name does not tell a format. Pass a packed dataset"));
  EXPECT_EQ(error_of([] { static_cast<void>(classify_path("/nonexistent/log.csv")); }, ExitCode::io),
            "/nonexistent/log.csv: No such file or directory. Check the path.");
  EXPECT_THAT(error_of([&] { static_cast<void>(classify_path(skeleton + "/x.csv")); }, ExitCode::io),
              HasSubstr("x.csv: "));
  const std::string pipe = (directory / "pipe.csv");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { static_cast<void>(classify_path(pipe)); }), HasSubstr("neither a file nor a directory"));
}

TEST(PathKind, OfAFileWithoutPermissionIsAnIoErrorWithTheSystemsMessage) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const TemporaryDirectory directory;
  const std::string secret = directory.write("secret.csv", "x");
  ::chmod(secret.c_str(), 0);
  EXPECT_EQ(error_of([&] { static_cast<void>(classify_path(secret)); }, ExitCode::io), secret + ": Permission denied");
}

TEST(HasHalf, NeedsBothFilesOfTheHalf) {
  const TemporaryDirectory directory;
  EXPECT_FALSE(has_half(directory.path(), Half::whole));
  directory.write("sample_skeleton_train.csv.gz", "x");
  EXPECT_FALSE(has_half(directory.path(), Half::train));
  directory.write("common_features_train.csv.zst", "x");
  EXPECT_TRUE(has_half(directory.path(), Half::train));
  EXPECT_FALSE(has_half(directory.path(), Half::test));
  EXPECT_TRUE(has_half(directory.path(), Half::whole));
  directory.write("sample_skeleton_test.csv", "x");
  EXPECT_FALSE(has_half(directory.path(), Half::whole));
}

}  // namespace
}  // namespace esmm
