#include "tests/support/backends.hpp"

#include "kernels/cuda/make_backend.hpp"
#include "tests/simt/simt.hpp"

namespace esmm::test {

std::vector<BackendCase> backends() {
  const auto simt_backend = [](Precision precision, TowerKernels towers) {
    return [=] { return simt::make_backend({.precision = precision, .towers = towers}); };
  };
  const auto simt_allocations = [] { return ::simt::api_calls().allocations; };
  std::vector<BackendCase> cases{
      {"cpu_1_thread", [] { return make_cpu_backend(1); }},
      {"cpu_3_threads", [] { return make_cpu_backend(3); }},
      {"simt", simt_backend(Precision::fp32, TowerKernels::chain), simt_allocations},
  };
#if defined(ESMM_WITH_CUDA)
  if (!cuda::devices().empty()) {
    cases.push_back({"cuda", [] { return cuda::make_backend({.towers = TowerKernels::chain}); }});
  }
#endif
  return cases;
}

void PrintTo(const BackendCase& backend, std::ostream* out) {
  *out << backend.name;
}

}  // namespace esmm::test
