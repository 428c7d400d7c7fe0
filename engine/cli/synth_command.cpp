#include <fmt/format.h>

#include <chrono>

#include "engine/cli/result.hpp"
#include "engine/cli/text_table.hpp"
#include "engine/commands.hpp"

namespace esmm {

void synth_command(const SynthOptions& options, bool json) {
  const auto started = std::chrono::steady_clock::now();
  const SynthReport report = synthesise(options);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  print_result({fmt::format("{}: {} impressions of {} users, {} in {:.1f} s\n"
                            "clicks {} ({} of impressions), conversions {} ({} of clicks)\n"
                            "next: esmm_gpu train --data {}\n",
                            options.out, report.rows, report.users, byte_size(report.bytes), seconds, report.clicks,
                            percent(report.clicks, report.rows), report.conversions,
                            percent(report.conversions, report.clicks), options.out),
                {{"path", options.out},
                 {"impressions", report.rows},
                 {"common_rows", report.users},
                 {"clicks", report.clicks},
                 {"conversions", report.conversions},
                 {"text_bytes", report.bytes},
                 {"seconds", seconds}}},
               json);
}

}  // namespace esmm
