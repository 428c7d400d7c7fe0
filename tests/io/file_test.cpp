#include "io/file.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <stop_token>
#include <thread>

#include "kernels/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

namespace fs = std::filesystem;
using test::TemporaryDirectory;

TEST(Staging, TheNextWriterRemovesWhatADeadOneLeftOfTheSameTargetOnly) {
  const TemporaryDirectory directory;
  const std::string file = directory.write("out.csv.tmp-77", "half");
  const std::string neighbour = directory.write("other.csv.tmp-77", "half");
  const std::string unrelated = directory.write("out.csv.tmp-mine", "whole");
  fs::create_directories(directory / "packed.tmp-77/vocab");
  { const StagedFile staged(directory / "out.csv"); }
  { const StagedDirectory staged(directory / "packed"); }
  EXPECT_FALSE(fs::exists(file));
  EXPECT_FALSE(fs::exists(directory / "packed.tmp-77"));
  EXPECT_TRUE(fs::exists(neighbour));
  EXPECT_TRUE(fs::exists(unrelated));
}

TEST(Staging, WhatALivingWriterStagesIsKeptAndItsProcessNamed) {
  const TemporaryDirectory directory;
  EXPECT_EQ(process_staging(directory / "packed"), std::nullopt);
  StagedDirectory staged(directory / "packed");
  StagedFile file(directory / "file");
  remove_abandoned(directory.path());
  EXPECT_TRUE(fs::exists(staged.path()));
  EXPECT_EQ(process_staging(directory / "packed"), getpid());
  EXPECT_EQ(process_staging(directory / "file"), getpid());
  staged.commit();
  file.commit();
  EXPECT_EQ(process_staging(directory / "packed"), std::nullopt);
  EXPECT_TRUE(fs::is_directory(directory / "packed"));
  EXPECT_TRUE(fs::is_regular_file(directory / "file"));
}

TEST(Staging, ADirectoryIsReplacedAsAWholeWhereThatIsAskedFor) {
  const TemporaryDirectory directory;
  directory.write("packed/old", "1");
  EXPECT_THROW(StagedDirectory(directory / "packed"), Error);
  {
    StagedDirectory staged(directory / "packed", StagedDirectory::Existing::replace);
    write_file(staged.path() + "/new", "2");
    EXPECT_TRUE(fs::exists(directory / "packed/old")) << "until the new one is complete";
    staged.commit();
  }
  EXPECT_FALSE(fs::exists(directory / "packed/old"));
  EXPECT_EQ(read_file(directory / "packed/new", 1), "2");
  EXPECT_EQ(std::distance(fs::directory_iterator(directory.path()), {}), 1) << "nothing else is left";
}

TEST(Staging, ADirectoryThatAnotherHasMadeMeanwhileIsNotReplaced) {
  const TemporaryDirectory directory;
  StagedDirectory staged(directory / "packed");
  directory.write("packed/other", "1");
  EXPECT_THROW(staged.commit(), Error);
  EXPECT_TRUE(fs::exists(directory / "packed/other"));
}

TEST(Staging, SucceedsWhileOthersRemoveWhatTheyTakeForAbandoned) {
  const TemporaryDirectory directory;
  std::jthread others([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      remove_abandoned(directory.path());
      std::this_thread::sleep_for(std::chrono::microseconds(50));  // else nothing else gets done
    }
  });
  for (int i = 0; i < 60; ++i) {
    const StagedDirectory staged(directory / "packed");
    const StagedFile file(directory / "file");
    ASSERT_TRUE(fs::is_directory(staged.path())) << "locked by now";
  }
}

TEST(FileLock, IsHeldByOneOpenFileUntilItIsClosed) {
  const TemporaryDirectory directory;
  File second = File::append_to(directory / "lock");
  {
    File first = File::append_to(directory / "lock");
    EXPECT_TRUE(first.try_lock());
    first.replace("1");
    first.replace("23");
    EXPECT_FALSE(second.try_lock());
    EXPECT_EQ(read_file(directory / "lock", 100), "23");
  }
  EXPECT_TRUE(second.try_lock());
}

TEST(Directories, AreMadeWithThoseAboveThemUnlessAFileIsInTheWay) {
  const TemporaryDirectory directory;
  make_directory(directory / "a/b/c/");
  make_directory(directory / "a/b");
  EXPECT_TRUE(fs::is_directory(directory / "a/b/c"));
  try {
    make_directory(directory.write("file", "x") + "/inside");
    FAIL() << "made a directory in a file";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::io);
  }
}

}  // namespace
}  // namespace esmm
