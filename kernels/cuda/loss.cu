#include "kernels/loss.hpp"

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/reduce.cuh"
#include "kernels/loss_math.hpp"

namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

/// What may differ from step to step.
struct LossConstants {
  std::int64_t impressions;
  float ctr_scale, ctcvr_scale;  // the tasks' weights over the number of impressions
};

/// Gradients of every row, and the sums of the two losses over each block of kReduceBlock rows. sums [blocks, 2].
__global__ void two_task_loss_rows(const LossConstants* constants, MatrixView<const float> logits,
                                   const std::uint8_t* clicks, const std::uint8_t* conversions,
                                   MatrixView<float> dlogits, double* sums) {
  const LossConstants c = *constants;
  const std::int64_t r = grid_thread();
  double ctr = 0.0, ctcvr = 0.0;
  if (r < c.impressions) {
    const float a = logits(r, 0), b = logits(r, 1);
    const bool y = clicks[r] != 0;
    const bool t = y && conversions[r] != 0;
    ctr = static_cast<double>(ctr_loss(a, y));
    ctcvr = static_cast<double>(ctcvr_loss(a, b, t));
    dlogits(r, 0) = c.ctr_scale * ctr_gradient(a, y) + c.ctcvr_scale * ctcvr_gradient(a, b, t);
    dlogits(r, 1) = c.ctcvr_scale * ctcvr_gradient(b, a, t);
  } else if (r < logits.rows) {
    dlogits(r, 0) = dlogits(r, 1) = 0.0F;
  }
  auto* scratch = shared_memory<double>();
  const double block_ctr = block_sum(ctr, scratch), block_ctcvr = block_sum(ctcvr, scratch);
  if (threadIdx.x != 0) return;
  sums[2 * blockIdx.x] = block_ctr;
  sums[2 * blockIdx.x + 1] = block_ctcvr;
}

__global__ void mean_losses(const LossConstants* constants, const double* sums, std::int64_t blocks,
                            TaskLosses* losses) {
  double ctr = 0.0, ctcvr = 0.0;
  for (std::int64_t b = threadIdx.x; b < blocks; b += blockDim.x) {
    ctr += sums[2 * b];
    ctcvr += sums[2 * b + 1];
  }
  auto* scratch = shared_memory<double>();
  const double total_ctr = block_sum(ctr, scratch), total_ctcvr = block_sum(ctcvr, scratch);
  if (threadIdx.x != 0) return;
  const double impressions = static_cast<double>(constants->impressions);
  losses->ctr = impressions > 0 ? total_ctr / impressions : 0.0;
  losses->ctcvr = impressions > 0 ? total_ctcvr / impressions : 0.0;
}

}  // namespace

void CudaBackend::two_task_loss(const Objective& objective, MatrixView<const float> logits,
                                std::span<const std::uint8_t> click, std::span<const std::uint8_t> conversion,
                                std::int64_t impressions, TaskLosses* losses, MatrixView<float> dlogits) {
  const auto count = static_cast<float>(impressions);
  const LossConstants* constants =
      queue_.constant(LossConstants{impressions, objective.ctr_weight / count, objective.ctcvr_weight / count});
  const std::int64_t blocks = (logits.rows + kReduceBlock - 1) / kReduceBlock;
  partial_sums_.resize(2 * blocks);
  constexpr std::size_t kBytes = kReduceBlock * sizeof(double);
  queue_.launch<two_task_loss_rows>(Geometry{blocks, kReduceBlock, kBytes}, constants, logits, click.data(),
                                    conversion.data(), dlogits, partial_sums_.data());
  queue_.launch<mean_losses>(Geometry{1, kReduceBlock, kBytes}, constants, partial_sums_.data(), blocks, losses);
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
