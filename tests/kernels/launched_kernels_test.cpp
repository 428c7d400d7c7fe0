#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

#include "tests/simt/simt.hpp"

namespace esmm::test {
namespace {

std::set<std::string> kernels_in_the_sources() {
  const std::regex kernel(
      R"(__global__\s+(?:__launch_bounds__\([^)]*\)\s*)?void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\()");
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(ESMM_SOURCE_DIR "/kernels/cuda")) {
    std::ifstream file(entry.path());
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    for (std::sregex_iterator match(text.begin(), text.end(), kernel), end; match != end; ++match) {
      names.insert((*match)[1]);
    }
  }
  return names;
}

/// Fails a run of the tests that left out a kernel of kernels/cuda. Only where asked for (ctest `every_kernel`): runs
/// of single tests leave out most.
class EveryKernel : public testing::Environment {
  void TearDown() override {
    if (std::getenv("ESMM_REQUIRE_EVERY_KERNEL") == nullptr) return;
    const auto launched = ::simt::launched_kernels();
    const std::set<std::string> kernels = kernels_in_the_sources();
    EXPECT_GE(kernels.size(), 25U) << "the sources' kernels were not found";
    for (const std::string& kernel : kernels) {
      EXPECT_TRUE(launched.contains(kernel)) << kernel << " of kernels/cuda was launched by no test on simt";
    }
    std::printf("%zu kernels, all launched on simt\n", kernels.size());
  }
};

const testing::Environment* const kEveryKernel = testing::AddGlobalTestEnvironment(new EveryKernel);

}  // namespace
}  // namespace esmm::test
