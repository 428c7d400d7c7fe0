#pragma once
#include <cstdint>

namespace esmm::test {

/// Calls of operator new in this program so far, on all threads; -1 under a sanitizer, which needs its own operators.
/// Using this replaces the program's operator new and delete by counting ones.
[[nodiscard]] std::int64_t allocations();

}  // namespace esmm::test
