#include "engine/truth.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "kernels/error.hpp"

namespace esmm {
namespace {

std::string write(const std::string& text) {
  const std::string path = testing::TempDir() + "truth_test_" + std::to_string(::getpid()) + ".csv";
  std::ofstream(path) << text;
  return path;
}

TEST(Truth, IsReadBySampleId) {
  const std::string path = write("sample_id,pctr,pcvr,conversion_if_clicked\n7,0.25,0.5,1\nx,1e-3,0,0\n");
  const Truth truth = load_truth(path);
  ASSERT_EQ(truth.size(), 2U);
  EXPECT_FLOAT_EQ(truth.at("7").pctr, 0.25F);
  EXPECT_TRUE(truth.at("7").conversion_if_clicked);
  EXPECT_FLOAT_EQ(truth.at("x").pctr, 1e-3F);
  EXPECT_FALSE(truth.at("x").conversion_if_clicked);
}

TEST(Truth, NamesFileAndLineOfWhatItCannotRead) {
  const char* bad[] = {"7,0.25,0.5\n", "7,1.25,0.5,1\n", "7,0.25,0.5,2\n", "7,a,0.5,1\n"};
  for (const char* row : bad) {
    const std::string path = write(std::string("sample_id,pctr,pcvr,conversion_if_clicked\n") + row);
    try {
      (void)load_truth(path);
      ADD_FAILURE() << "accepted: " << row;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      EXPECT_THAT(error.what(), testing::HasSubstr(path + ":2:"));
    }
  }
}

TEST(Truth, RefusesAnotherFilesHeader) {
  EXPECT_THROW((void)load_truth(write("click,conversion\n1,0\n")), Error);
}

}  // namespace
}  // namespace esmm
