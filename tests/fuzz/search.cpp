// libFuzzer's entry points: ESMM_FUZZ_TARGET names the reader. tests/fuzz/long_run.sh builds and runs it.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/targets.hpp"

namespace {

const esmm::fuzz::Target& chosen_target() {
  static const std::vector<esmm::fuzz::Target> all = esmm::fuzz::targets();
  static const auto found = [] {
    const char* const name = std::getenv("ESMM_FUZZ_TARGET");
    const auto target =
        std::find_if(all.begin(), all.end(), [&](const auto& one) { return name != nullptr && one.name == name; });
    if (target != all.end()) return target;
    fmt::print(stderr, "fuzz_search: ESMM_FUZZ_TARGET must be one of");
    for (const auto& one : all) fmt::print(stderr, " {}", one.name);
    std::fputs("\n", stderr);
    std::exit(2);
  }();
  return *found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  esmm::fuzz::run(chosen_target(), {reinterpret_cast<const char*>(data), size});
  return 0;
}
