#include "kernels/loss.hpp"

#include "kernels/backend.hpp"
#include "kernels/error.hpp"

namespace esmm {

void two_task_loss(Backend& backend, const Objective& objective, MatrixView<const float> logits,
                   std::span<const std::uint8_t> click, std::span<const std::uint8_t> conversion, TaskLosses& losses,
                   MatrixView<float> dlogits) {
  const auto rows = static_cast<std::size_t>(logits.rows);
  if (logits.cols != 2 || dlogits.cols != 2 || dlogits.rows != logits.rows || click.size() != rows ||
      conversion.size() != rows) {
    throw internal_error("two_task_loss: logits [{}, {}], dlogits [{}, {}], {} clicks, {} conversions; expected [B, 2]",
                         logits.rows, logits.cols, dlogits.rows, dlogits.cols, click.size(), conversion.size());
  }
  backend.two_task_loss(objective, logits, click, conversion, losses, dlogits);
}

void predict_probabilities(Backend& backend, MatrixView<const float> logits, MatrixView<float> probabilities) {
  if (logits.cols != 2 || probabilities.cols != 3 || probabilities.rows != logits.rows) {
    throw internal_error("predict_probabilities: logits [{}, {}], probabilities [{}, {}]; expected [B, 2] and [B, 3]",
                         logits.rows, logits.cols, probabilities.rows, probabilities.cols);
  }
  backend.predict_probabilities(logits, probabilities);
}

}  // namespace esmm
