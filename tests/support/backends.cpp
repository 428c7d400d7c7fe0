#include "tests/support/backends.hpp"

namespace esmm::test {

std::vector<BackendCase> backends() {
  return {{"cpu_1_thread", [] { return make_cpu_backend(1); }}, {"cpu_3_threads", [] { return make_cpu_backend(3); }}};
}

void PrintTo(const BackendCase& backend, std::ostream* out) {
  *out << backend.name;
}

}  // namespace esmm::test
