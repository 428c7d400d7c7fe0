#pragma once
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/backend.hpp"

namespace esmm::test {

/// One backend that the tests of the operations run on.
struct BackendCase {
  std::string name;  // letters, digits and underscores: part of test names
  std::function<std::unique_ptr<Backend>()> make;
  std::function<std::int64_t()> allocations = nullptr;  // of device and page-locked memory so far, where it is counted
};

/// Every backend of this build: INSTANTIATE_TEST_SUITE_P(Backends, Suite, testing::ValuesIn(backends()),
/// BackendName{}).
[[nodiscard]] std::vector<BackendCase> backends();

/// Names a parameterised test after its backend.
struct BackendName {
  template <class Info>
  std::string operator()(const Info& info) const {
    return info.param.name;
  }
};

void PrintTo(const BackendCase& backend, std::ostream* out);

}  // namespace esmm::test
