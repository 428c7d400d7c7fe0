#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "io/pack.hpp"

namespace esmm {

/// Shows the stages of packing `files` as bars and its warnings as log lines. Leaves hooks that are set as they are.
void show_pack_progress(PackOptions& options, const std::vector<std::string>& files);

}  // namespace esmm
