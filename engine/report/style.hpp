#pragma once
#include <string_view>

namespace esmm::report {

/// style.css, embedded when the program is built.
[[nodiscard]] std::string_view style();

}  // namespace esmm::report
