#pragma once
#include <string>
#include <vector>

#include "engine/datasets.hpp"

namespace esmm {

/// 16 hex digits that differ whenever packing `files` for `request` could give other bytes: XXH3 of the program's
/// version, the files' absolute names, sizes and modification times, the options that matter, the schema and the
/// vocabulary. Throws Error (io) when a file cannot be looked at.
[[nodiscard]] std::string fingerprint(const DatasetRequest& request, const std::vector<std::string>& files);

}  // namespace esmm
