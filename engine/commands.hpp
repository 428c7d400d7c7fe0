#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/config.hpp"
#include "io/synth.hpp"

namespace esmm {

/// The commands of the program, called by the command line once flags and files are resolved. Each prints its result
/// to stdout (with `json` as one document), its progress and warnings to stderr, and throws Error.

/// Trains; `config.data` is needed. The configuration is resolved and valid.
/// `resume` names the run directory to continue, or is empty for a new run. Then `config` is that run's config.toml
/// with whichever of --epochs, --device, --threads and --log-level were given on top, and config.out is `resume`: the
/// command line has refused everything else, so nothing remains to be merged.
void train_command(const Config& config, const std::string& resume, bool json);

struct EvalOptions {
  std::string run, data, truth;
  bool json = false;
  OnBadRow on_bad_row = OnBadRow::error;
  OnContradiction on_contradiction = OnContradiction::drop;
  std::string device = "auto";
  Precision precision = Precision::fp32;
  int threads = 0;
};
void eval_command(const EvalOptions& options);

struct PredictOptions {
  std::string run, data, out;
  OnBadRow on_bad_row = OnBadRow::error;
  std::string device = "auto";
  Precision precision = Precision::fp32;
  int threads = 0;
};
void predict_command(const PredictOptions& options);

enum class ExportFormat { onnx, triton };
struct ExportOptions {
  std::string run, out;
  ExportFormat format = ExportFormat::onnx;
  std::int64_t external_data_mb = 1024;  // tables beyond this are written to a file of their own
  int threads = 0;
};
void export_command(const ExportOptions& options);

struct ConvertOptions {
  std::string data, out, schema, vocab;
  std::uint32_t min_count = 10;
  Encoding encoding = Encoding::vocab;
  std::uint32_t buckets = 1U << 20;
  OnBadRow on_bad_row = OnBadRow::error;
  OnContradiction on_contradiction = OnContradiction::drop;
  int threads = 0;
  bool json = false;
};
void convert_command(const ConvertOptions& options);

struct InspectOptions {
  std::string path;
  bool json = false;
};
void inspect_command(const InspectOptions& options);

struct ReportOptions {
  std::vector<std::string> runs;
  std::string out;  // empty: the report.html of the only run
};
void report_command(const ReportOptions& options);

void synth_command(const SynthOptions& options, bool json);

}  // namespace esmm
