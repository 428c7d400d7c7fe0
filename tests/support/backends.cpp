#include "tests/support/backends.hpp"

#include "kernels/cuda/make_backend.hpp"
#include "tests/simt/simt.hpp"

namespace esmm::test {

namespace {

std::function<std::unique_ptr<Backend>()> simt_backend(Precision precision, TowerKernels towers) {
  return [=] { return simt::make_backend({.precision = precision, .towers = towers}); };
}

}  // namespace

std::vector<BackendCase> backends() {
  const auto simt_allocations = [] { return ::simt::api_calls().allocations; };
  std::vector<BackendCase> cases{
      {"cpu_1_thread", [] { return make_cpu_backend(1); }},
      {"cpu_3_threads", [] { return make_cpu_backend(3); }},
      {"simt", simt_backend(Precision::fp32, TowerKernels::chain), simt_allocations},
  };
#if defined(ESMM_WITH_CUDA)
  if (cuda::device_count() > 0) {
    cases.push_back({"cuda", [] { return cuda::make_backend({.towers = TowerKernels::chain}); }});
  }
#endif
  return cases;
}

std::vector<BackendCase> tower_backends() {
  std::vector<BackendCase> cases = backends();
  cases.push_back({"cpu_bf16", [] { return make_cpu_backend(2, Precision::bf16); }});
  cases.push_back({"simt_chain_bf16", simt_backend(Precision::bf16, TowerKernels::chain)});
  cases.push_back({"simt_fused", simt_backend(Precision::fp32, TowerKernels::fused)});
  cases.push_back({"simt_fused_bf16", simt_backend(Precision::bf16, TowerKernels::fused)});
#if defined(ESMM_WITH_CUDA)
  if (cuda::device_count() > 0) {
    const auto cuda_backend = [](Precision precision, TowerKernels towers) {
      return [=] { return cuda::make_backend({.precision = precision, .towers = towers}); };
    };
    cases.push_back({"cuda_chain_bf16", cuda_backend(Precision::bf16, TowerKernels::chain)});
    cases.push_back({"cuda_fused", cuda_backend(Precision::fp32, TowerKernels::fused)});
    cases.push_back({"cuda_fused_bf16", cuda_backend(Precision::bf16, TowerKernels::fused)});
  }
#endif
  return cases;
}

void PrintTo(const BackendCase& backend, std::ostream* out) {
  *out << backend.name;
}

}  // namespace esmm::test
