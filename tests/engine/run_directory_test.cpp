#include "engine/run_directory.hpp"

#include <gtest/gtest.h>

#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

TEST(RunDirectory, RewindingDropsALaterLineAndATornOne) {
  const test::TemporaryDirectory directory;
  const RunDirectory run = RunDirectory::create(directory / "run");
  std::filesystem::create_directories(run.path());
  const std::string file = run.path() + "/metrics.jsonl";
  const std::string kept = "{\"step\":5,\"loss\":0.5}\n{\"step\":5,\"split\":\"valid\"}\n";
  for (const std::string rest : {"", "{\"step\":6,\"loss\":0.5}\n", "{\"step\":4,\"lo", "{", "\n"}) {
    test::write_bytes(file, kept + rest);
    run.rewind_metrics(5, 5);
    EXPECT_EQ(test::read_bytes(file), kept) << rest;
  }
  run.rewind_metrics(5, 4);
  EXPECT_EQ(test::read_bytes(file), "{\"step\":5,\"loss\":0.5}\n") << "its evaluation is done again";
}

}  // namespace
}  // namespace esmm
