#include "kernels/metrics.hpp"

#include "kernels/backend.hpp"
#include "kernels/error.hpp"
#include "kernels/nvtx.hpp"

namespace esmm {

std::optional<double> auc(Backend& backend, std::span<const float> scores, std::span<const std::uint8_t> labels) {
  const NvtxRange range("auc");
  if (scores.size() != labels.size()) {
    throw internal_error("auc: {} scores but {} labels", scores.size(), labels.size());
  }
  if (scores.size() >= (std::uint64_t{1} << 32U)) {  // counts of pairs are kept in 64 bits
    throw internal_error("auc: {} scores given, at most 2^32 - 1 can be ranked", scores.size());
  }
  return backend.auc(scores, labels);
}

std::array<TaskMetrics, 3> task_metrics(Backend& backend, MatrixView<const float> logits, ReadOut read_out,
                                        std::span<const std::uint8_t> click, std::span<const std::uint8_t> conversion) {
  const NvtxRange range("task_metrics");
  const auto rows = static_cast<std::size_t>(logits.rows);
  if (logits.cols != 2 || click.size() != rows || conversion.size() != rows) {
    throw internal_error("task_metrics: logits [{}, {}], {} clicks, {} conversions; expected [n, 2]", logits.rows,
                         logits.cols, click.size(), conversion.size());
  }
  if (rows >= (std::uint64_t{1} << 32U)) {  // as auc
    throw internal_error("task_metrics: {} impressions given, at most 2^32 - 1 can be ranked", rows);
  }
  return backend.task_metrics(logits, read_out, click, conversion);
}

}  // namespace esmm
