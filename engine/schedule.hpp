#pragma once
#include <cstdint>

#include "engine/config.hpp"

namespace esmm {

/// The factor on the learning rate at `step` (from 1) of `total_steps`: linear warm-up from 1/warmup_steps, then
/// constant, a half cosine down to schedule_decay (arXiv:1608.03983 without restarts), or schedule_decay to the power
/// of whole schedule_steps.
[[nodiscard]] double schedule_factor(const Config& config, std::int64_t step, std::int64_t total_steps);

}  // namespace esmm
