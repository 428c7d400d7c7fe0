#pragma once
#include <string>
#include <vector>

#include "engine/run_directory.hpp"

namespace esmm {

/// Writes the report of a run as one HTML file that needs nothing else: metrics, losses, ROC and reliability diagrams,
/// data, times, configuration, machine. What the run does not have is left out. The same run gives the same bytes.
/// Staged and renamed. Throws Error: data (a file in the run that no run writes), io.
void write_report(const RunDirectory& run, const std::string& file);
/// Into RUN/report.html.
void write_report(const RunDirectory& run);
/// The same for several runs side by side, which get the letters A, B, … in the order given.
void write_comparison(const std::vector<RunDirectory>& runs, const std::string& file);

}  // namespace esmm
