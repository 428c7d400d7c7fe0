#include "kernels/loss.hpp"

#include "kernels/backend.hpp"
#include "kernels/error.hpp"
#include "kernels/nvtx.hpp"

namespace esmm {

void two_task_loss(Backend& backend, const Objective& objective, MatrixView<const float> logits,
                   std::span<const std::uint8_t> click, std::span<const std::uint8_t> conversion,
                   std::int64_t impressions, TaskLosses* losses, MatrixView<float> dlogits) {
  const NvtxRange range("two_task_loss");
  const auto rows = static_cast<std::size_t>(logits.rows);
  if (logits.cols != 2 || dlogits.cols != 2 || dlogits.rows != logits.rows || click.size() != rows ||
      conversion.size() != rows) {
    throw internal_error("two_task_loss: logits [{}, {}], dlogits [{}, {}], {} clicks, {} conversions; expected [B, 2]",
                         logits.rows, logits.cols, dlogits.rows, dlogits.cols, click.size(), conversion.size());
  }
  if (impressions < 0 || impressions > logits.rows || losses == nullptr) {
    throw internal_error("two_task_loss: {} impressions of {} rows{}", impressions, logits.rows,
                         losses == nullptr ? ", and no place for the losses" : "");
  }
  backend.two_task_loss(objective, logits, click, conversion, impressions, losses, dlogits);
}

}  // namespace esmm
