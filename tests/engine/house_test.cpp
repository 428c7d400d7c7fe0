// The house rules that a compiler does not check.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct Include {
  std::string file, folder, target;
};

constexpr std::string_view kInclude = "#include \"";

std::vector<Include> includes() {
  std::vector<Include> found;
  for (const char* folder : {"kernels", "io", "engine"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(ESMM_SOURCE_DIR) / folder)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".cpp" && extension != ".hpp" && extension != ".cu" && extension != ".cuh") continue;
      std::ifstream in(entry.path());
      for (std::string line; std::getline(in, line);) {
        if (!line.starts_with(kInclude)) continue;
        const std::string target = line.substr(kInclude.size(), line.find('"', kInclude.size()) - kInclude.size());
        if (target.find('/') != std::string::npos) found.push_back({entry.path().string(), folder, target});
      }
    }
  }
  return found;
}

TEST(House, DependenciesPointDownwardOnly) {
  const std::vector<Include> all = includes();
  ASSERT_GT(all.size(), 100U) << "the scan found almost nothing: is it looking in the right place?";
  for (const Include& include : all) {
    const std::string target = include.target.substr(0, include.target.find('/'));
    const bool allowed = include.folder == "engine" ? target == "engine" || target == "io" || target == "kernels"
                         : include.folder == "io"   ? target == "io" || target == "kernels"
                                                    : target == "kernels";
    EXPECT_TRUE(allowed) << include.file << " includes " << include.target;
  }
}

TEST(House, IoUsesOfKernelsOnlyTheGroundFloor) {
  const std::set<std::string> ground{"kernels/error.hpp", "kernels/view.hpp", "kernels/buffer.hpp", "kernels/batch.hpp",
                                     "kernels/thread_pool.hpp"};
  for (const Include& include : includes()) {
    if (include.folder != "io" || !include.target.starts_with("kernels/")) continue;
    EXPECT_TRUE(ground.contains(include.target)) << include.file << " includes " << include.target;
  }
}

TEST(House, TheEngineDoesNotKnowItsCommandLine) {
  for (const Include& include : includes()) {
    const bool inside = include.file.find("/engine/cli/") != std::string::npos ||
                        include.file.find("/engine/main/") != std::string::npos;
    if (inside) continue;
    EXPECT_FALSE(include.target.starts_with("engine/cli/")) << include.file << " includes " << include.target;
  }
}

TEST(House, OnlyTheCommandLineReadsTheEnvironment) {
  for (const char* folder : {"kernels", "io", "engine"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(ESMM_SOURCE_DIR) / folder)) {
      if (!entry.is_regular_file() || entry.path().string().find("/engine/cli/") != std::string::npos) continue;
      std::ifstream in(entry.path());
      for (std::string line; std::getline(in, line);) {
        EXPECT_EQ(line.find("getenv("), std::string::npos) << entry.path();
      }
    }
  }
}

}  // namespace
