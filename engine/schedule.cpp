#include "engine/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace esmm {

double schedule_factor(const Config& config, std::int64_t step, std::int64_t total_steps) {
  if (step <= config.warmup_steps) return static_cast<double>(step) / static_cast<double>(config.warmup_steps);
  const std::int64_t after = step - 1 - config.warmup_steps;  // steps done since the warm-up
  const double decay = static_cast<double>(config.schedule_decay);
  switch (config.schedule) {
    case Schedule::constant:
      return 1.0;
    case Schedule::cosine: {
      const std::int64_t given = config.schedule_steps > 0 ? config.schedule_steps : total_steps - config.warmup_steps;
      const double progress =
          std::min(1.0, static_cast<double>(after) / static_cast<double>(std::max<std::int64_t>(1, given)));
      return decay + (1.0 - decay) * 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
    }
    case Schedule::step:
      return std::pow(decay, static_cast<double>(after / std::max<std::int64_t>(1, config.schedule_steps)));
  }
  return 1.0;
}

}  // namespace esmm
