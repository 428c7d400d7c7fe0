#include "kernels/nvtx.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace esmm {
namespace {

TEST(NvtxRange, NestsOnEveryThreadWithoutAProfiler) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 1000; ++i) {
        const NvtxRange outer("outer");
        const NvtxRange inner("inner");
      }
    });
  }
}

}  // namespace
}  // namespace esmm
