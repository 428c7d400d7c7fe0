#include "kernels/loss.hpp"

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/reduce.cuh"
#include "kernels/loss_rows.hpp"

namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

/// What may differ from step to step.
struct LossConstants {
  std::int64_t impressions;
  Objective objective;
};

/// Sums of weights over each block of kReduceBlock rows. sums [blocks, 2].
__global__ void weigh_rows(const LossConstants* constants, MatrixView<const float> logits, const std::uint8_t* clicks,
                           const std::uint8_t* conversions, double* sums) {
  const LossConstants c = *constants;
  const std::int64_t r = grid_thread();
  double weight = 0.0, clicked = 0.0;
  if (r < c.impressions) {
    const bool click = clicks[r] != 0;
    weight = static_cast<double>(row_weight(c.objective, logits(r, 0), click, conversions[r] != 0, r));
    clicked = click ? 1.0 : 0.0;
  }
  auto* scratch = shared_memory<double>();
  const double block_weight = block_sum(weight, scratch), block_clicked = block_sum(clicked, scratch);
  if (threadIdx.x != 0) return;
  sums[2 * blockIdx.x] = block_weight;
  sums[2 * blockIdx.x + 1] = block_clicked;
}

__global__ void add_weights(const double* sums, std::int64_t blocks, WeightSums* weights) {
  double conversion = 0.0, clicks = 0.0;
  for (std::int64_t b = threadIdx.x; b < blocks; b += blockDim.x) {
    conversion += sums[2 * b];
    clicks += sums[2 * b + 1];
  }
  auto* scratch = shared_memory<double>();
  const double total_conversion = block_sum(conversion, scratch), total_clicks = block_sum(clicks, scratch);
  if (threadIdx.x == 0) *weights = {total_conversion, total_clicks};
}

/// Gradients of every row, and the sums of the losses over each block of kReduceBlock rows. sums [blocks, 3].
__global__ void two_task_loss_rows(const LossConstants* constants, const WeightSums* weights,
                                   MatrixView<const float> logits, const std::uint8_t* clicks,
                                   const std::uint8_t* conversions, MatrixView<float> dlogits, double* sums) {
  const LossConstants c = *constants;
  const LossScales scales = loss_scales(c.objective, c.impressions, *weights);
  const std::int64_t r = grid_thread();
  LossRow losses{};
  if (r < c.impressions) {
    losses = loss_row(c.objective, scales, logits(r, 0), logits(r, 1), clicks[r] != 0, conversions[r] != 0, r,
                      dlogits.row(r));
  } else if (r < logits.rows) {
    dlogits(r, 0) = dlogits(r, 1) = 0.0F;
  }
  auto* scratch = shared_memory<double>();
  const double ctr = block_sum(losses.ctr, scratch), conversion = block_sum(losses.conversion, scratch);
  const double auxiliary = block_sum(losses.auxiliary, scratch);
  if (threadIdx.x != 0) return;
  sums[3 * blockIdx.x] = ctr;
  sums[3 * blockIdx.x + 1] = conversion;
  sums[3 * blockIdx.x + 2] = auxiliary;
}

__global__ void mean_losses(const LossConstants* constants, const WeightSums* weights, const double* sums,
                            std::int64_t blocks, TaskLosses* losses) {
  LossRow own{};
  for (std::int64_t b = threadIdx.x; b < blocks; b += blockDim.x) {
    own.ctr += sums[3 * b];
    own.conversion += sums[3 * b + 1];
    own.auxiliary += sums[3 * b + 2];
  }
  auto* scratch = shared_memory<double>();
  const double ctr = block_sum(own.ctr, scratch), conversion = block_sum(own.conversion, scratch);
  const double auxiliary = block_sum(own.auxiliary, scratch);
  if (threadIdx.x == 0) *losses = mean_losses_of({ctr, conversion, auxiliary}, constants->impressions, *weights);
}

}  // namespace

void CudaBackend::two_task_loss(const Objective& objective, MatrixView<const float> logits,
                                std::span<const std::uint8_t> click, std::span<const std::uint8_t> conversion,
                                std::int64_t impressions, TaskLosses* losses, MatrixView<float> dlogits) {
  const LossConstants* constants = queue_.constant(LossConstants{impressions, objective});
  const std::int64_t blocks = (logits.rows + kReduceBlock - 1) / kReduceBlock;
  partial_sums_.resize(3 * blocks);
  constexpr std::size_t kBytes = kReduceBlock * sizeof(double);
  const Geometry rows{blocks, kReduceBlock, kBytes}, one_block{1, kReduceBlock, kBytes};
  const WeightSums* weights = loss_weights_.data();
  if (weighs_rows(objective)) {
    queue_.launch<weigh_rows>(rows, constants, logits, click.data(), conversion.data(), partial_sums_.data());
    queue_.launch<add_weights>(one_block, partial_sums_.data(), blocks, loss_weights_.data());
  } else {
    weights = queue_.constant(WeightSums{static_cast<double>(impressions), 0.0});
  }
  queue_.launch<two_task_loss_rows>(rows, constants, weights, logits, click.data(), conversion.data(), dlogits,
                                    partial_sums_.data());
  queue_.launch<mean_losses>(one_block, constants, weights, partial_sums_.data(), blocks, losses);
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
