#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace esmm {

enum class SynthProfile { small, ali_ccp };

struct SynthOptions {
  std::string out;               // directory; the raw Ali-CCP layout, both halves, and truth_{train,test}.csv
  std::uint64_t rows = 100'000;  // impressions per half
  std::uint64_t users = 0;       // common rows per half; 0: rows / 58, as in Ali-CCP
  std::uint64_t seed = 1;
  SynthProfile profile = SynthProfile::small;
  double selection_bias = 0.5;  // correlation of click and conversion propensities given the features, in [-1, 1]
  std::optional<double> click_rate, conversion_rate;  // clicks per impression, conversions per click, in (0, 1); unset:
                                                      // the profile's
  int threads = 0;
};

/// Totals over both halves, for the summary line.
struct SynthReport {
  std::uint64_t rows = 0, users = 0, clicks = 0, conversions = 0, bytes = 0;
};

/// Writes a click log from a hidden world (docs/synth.md). Deterministic in the seed, whatever the number of threads.
/// Throws Error (io, usage).
SynthReport synthesise(const SynthOptions& options);

}  // namespace esmm
