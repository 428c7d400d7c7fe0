// The house rules that a compiler does not check.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
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
  const std::set<std::string> ground{"kernels/error.hpp", "kernels/view.hpp",        "kernels/buffer.hpp",
                                     "kernels/batch.hpp", "kernels/thread_pool.hpp", "kernels/nvtx.hpp"};
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

std::string content(const fs::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
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

// docs/reliability.md: a mapped file that is cut short ends a program by a signal.
TEST(House, NoFileIsMemoryMapped) {
  for (const char* folder : {"kernels", "io", "engine"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(ESMM_SOURCE_DIR) / folder)) {
      if (!entry.is_regular_file()) continue;
      EXPECT_EQ(content(entry.path()).find("mmap("), std::string::npos) << entry.path();
    }
  }
}

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

TEST(House, NoKernelFileMentionsNvtx) {
  std::size_t files = 0;
  for (const char* folder : {"kernels/cuda", "kernels/cpu"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(ESMM_SOURCE_DIR) / folder)) {
      if (!entry.is_regular_file()) continue;
      ++files;
      EXPECT_EQ(lower_case(content(entry.path())).find("nvtx"), std::string::npos) << entry.path();
    }
  }
  EXPECT_GT(files, 20U);
}

/// The operations of Backend: what backend.hpp declares behind `replay`, but for the factory of SortedIds.
std::vector<std::string> operations() {
  const std::string header = content(fs::path(ESMM_SOURCE_DIR) / "kernels/backend.hpp");
  const std::regex declaration(R"(virtual [^;(]*?(\w+)\([^;]*\) = 0;)");
  std::vector<std::string> names;
  const auto first = header.begin() + static_cast<std::ptrdiff_t>(header.find("virtual void replay("));
  for (std::sregex_iterator each(first, header.end(), declaration); each != std::sregex_iterator(); ++each) {
    const std::string name = (*each)[1];
    if (name != "replay" && name != "choose_towers" && name != "make_sorted_ids") names.push_back(name);
  }
  return names;
}

/// The body of the only function named `name` whose first parameter is a Backend; empty when there is none.
std::string dispatcher(const std::string& source, const std::string& name) {
  const std::size_t at = source.find(" " + name + "(Backend& backend,");
  if (at == std::string::npos) return {};
  const std::size_t body = source.find(" {\n", at);
  return source.substr(body, source.find("\n}\n", body) - body);
}

TEST(House, EveryOperationIsDispatchedInsideARangeOfItsName) {
  std::string source;
  for (const auto& entry : fs::directory_iterator(fs::path(ESMM_SOURCE_DIR) / "kernels")) {
    if (entry.path().extension() == ".cpp") source += content(entry.path());
  }
  const std::vector<std::string> all = operations();
  ASSERT_GE(all.size(), 14U) << "the scan of backend.hpp found too few operations";
  for (const std::string& operation : all) {
    const std::string body = dispatcher(source, operation);
    const std::size_t range = body.find("const NvtxRange range(\"" + operation + "\");");
    const std::size_t call = body.find("backend." + operation + "(");
    EXPECT_NE(call, std::string::npos) << "no kernels/*.cpp dispatches " << operation;
    EXPECT_LT(range, call) << operation << " opens no range before it is dispatched";
  }
}

TEST(House, TheEngineCallsOperationsThroughTheirDispatchers) {
  const std::vector<std::string> all = operations();
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(ESMM_SOURCE_DIR) / "engine")) {
    if (!entry.is_regular_file()) continue;
    const std::string source = content(entry.path());
    for (const std::string& operation : all) {
      const std::regex direct("backend_?(\\.|->)" + operation + "\\(");
      EXPECT_FALSE(std::regex_search(source, direct)) << entry.path() << " calls Backend::" << operation;
    }
  }
}

TEST(House, OnlyOneFileKnowsNvtx) {
  for (const char* folder : {"kernels", "io", "engine"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(ESMM_SOURCE_DIR) / folder)) {
      if (!entry.is_regular_file() || entry.path().filename() == "nvtx.cpp") continue;
      EXPECT_EQ(content(entry.path()).find("nvtx3/"), std::string::npos) << entry.path();
    }
  }
}

}  // namespace
