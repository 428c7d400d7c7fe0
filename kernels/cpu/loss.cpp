#include "kernels/loss.hpp"

#include <array>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/loss_math.hpp"

namespace esmm::cpu {

namespace {
constexpr std::int64_t kChunks = 64;  // fixed, so that the sums do not depend on the number of threads

std::int64_t chunk_begin(std::int64_t chunk, std::int64_t rows) {
  return chunk * rows / kChunks;
}
}  // namespace

void CpuBackend::two_task_loss(const Objective& objective, MatrixView<const float> logits,
                               std::span<const std::uint8_t> click, std::span<const std::uint8_t> conversion,
                               std::int64_t impressions, TaskLosses* losses, MatrixView<float> dlogits) {
  *losses = {};
  for (std::int64_t r = impressions; r < dlogits.rows; ++r) dlogits(r, 0) = dlogits(r, 1) = 0.0F;
  if (impressions == 0) return;
  const float ctr_scale = objective.ctr_weight / static_cast<float>(impressions);
  const float ctcvr_scale = objective.ctcvr_weight / static_cast<float>(impressions);
  std::array<TaskLosses, kChunks> sums{};
  pool_.for_each_chunk(kChunks, [&](std::int64_t chunk, int) {
    TaskLosses sum;
    for (std::int64_t r = chunk_begin(chunk, impressions); r < chunk_begin(chunk + 1, impressions); ++r) {
      const float a = logits(r, 0), b = logits(r, 1);
      const bool y = click[static_cast<std::size_t>(r)] != 0;
      const bool t = y && conversion[static_cast<std::size_t>(r)] != 0;
      sum.ctr += static_cast<double>(ctr_loss(a, y));
      sum.ctcvr += static_cast<double>(ctcvr_loss(a, b, t));
      dlogits(r, 0) = ctr_scale * ctr_gradient(a, y) + ctcvr_scale * ctcvr_gradient(a, b, t);
      dlogits(r, 1) = ctcvr_scale * ctcvr_gradient(b, a, t);
    }
    sums[static_cast<std::size_t>(chunk)] = sum;
  });
  for (const TaskLosses& sum : sums) {
    losses->ctr += sum.ctr;
    losses->ctcvr += sum.ctcvr;
  }
  losses->ctr /= static_cast<double>(impressions);
  losses->ctcvr /= static_cast<double>(impressions);
}

}  // namespace esmm::cpu
