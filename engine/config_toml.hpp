#pragma once
#include <string>

#include "engine/config.hpp"

namespace esmm {

/// Whether a `preset` in the file counts, or has been overruled by a flag.
enum class PresetKey { apply, ignore };
void apply_toml(Config& config, const std::string& text, const std::string& name_for_errors, PresetKey preset);

}  // namespace esmm
