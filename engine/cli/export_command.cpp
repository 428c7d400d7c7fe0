#include <spdlog/spdlog.h>

#include "engine/commands.hpp"
#include "engine/device.hpp"
#include "engine/run_model.hpp"
#include "kernels/error.hpp"
#if ESMM_WITH_ONNX
#include "engine/onnx/export.hpp"
#endif

namespace esmm {

#if ESMM_WITH_ONNX
void export_command(const ExportOptions& options) {
  constexpr std::int64_t kMostMegabytes = 1900;  // a protobuf holds 2 GiB, and the towers are in it too
  if (options.external_data_mb < 0 || options.external_data_mb > kMostMegabytes) {
    throw usage_error("--external-data-mb: {} is not between 0 and {}, which is what an ONNX file can hold.",
                      options.external_data_mb, kMostMegabytes);
  }
  const std::unique_ptr<Backend> backend = make_backend("cpu", options.threads);
  const RunModel run = load_run(*backend, options.run);
  const std::int64_t external_bytes = options.external_data_mb << 20U;
  if (options.format == ExportFormat::triton) {
    export_triton(run, options.out, external_bytes);
  } else {
    export_onnx(run, options.out, external_bytes);
  }
  spdlog::info("exported {} to {}; docs/serving.md says how to feed it", options.run, options.out);
}
#else
void export_command(const ExportOptions&) {
  throw usage_error(
      "export: this build has no ONNX library. Install libonnx-dev and libprotobuf-dev, and build again.");
}
#endif

}  // namespace esmm
