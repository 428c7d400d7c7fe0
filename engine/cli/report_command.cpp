#include <fmt/format.h>

#include "engine/cli/result.hpp"
#include "engine/commands.hpp"
#include "engine/report/page.hpp"
#include "engine/run_directory.hpp"
#include "kernels/error.hpp"

namespace esmm {

void report_command(const ReportOptions& options) {
  std::vector<RunDirectory> runs;
  for (const std::string& path : options.runs) runs.push_back(RunDirectory::open(path));
  if (runs.size() > 1 && options.out.empty()) {
    throw usage_error("report: --out is needed to compare {} runs. Give the HTML file to write.", runs.size());
  }
  const std::string out = options.out.empty() ? runs.front().report_path() : options.out;
  if (runs.size() == 1) {
    write_report(runs.front(), out);
  } else {
    write_comparison(runs, out);
  }
  print_result(fmt::format("wrote {}\n", out));
}

}  // namespace esmm
