#include "kernels/loss.hpp"

#include <array>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/loss_rows.hpp"

namespace esmm::cpu {

namespace {

constexpr std::int64_t kChunks = 64;  // fixed, so that the sums do not depend on the number of threads

struct Labels {
  std::span<const std::uint8_t> click, conversion;
  [[nodiscard]] bool clicked(std::int64_t row) const { return click[static_cast<std::size_t>(row)] != 0; }
  [[nodiscard]] bool converted(std::int64_t row) const { return conversion[static_cast<std::size_t>(row)] != 0; }
};

/// Calls use(sum, row) for every row of each chunk, in order; returns the chunks' sums.
template <class Sum, class Use>
std::array<Sum, kChunks> sums_of_chunks(ThreadPool& pool, std::int64_t rows, const Use& use) {
  std::array<Sum, kChunks> sums{};
  pool.for_each_chunk(kChunks, [&](std::int64_t chunk, int) {
    Sum sum{};
    for (std::int64_t r = chunk * rows / kChunks; r < (chunk + 1) * rows / kChunks; ++r) use(sum, r);
    sums[static_cast<std::size_t>(chunk)] = sum;
  });
  return sums;
}

WeightSums sum_weights(ThreadPool& pool, const Objective& objective, MatrixView<const float> logits,
                       const Labels& labels, std::int64_t impressions) {
  if (!weighs_rows(objective)) return {static_cast<double>(impressions), 0.0};
  WeightSums total;
  for (const WeightSums& sum : sums_of_chunks<WeightSums>(pool, impressions, [&](WeightSums&s, std::int64_t r) {
         const bool click = labels.clicked(r);
         s.conversion += static_cast<double>(row_weight(objective, logits(r, 0), click, labels.converted(r), r));
         s.clicks += click ? 1.0 : 0.0;
       })) {
    total.conversion += sum.conversion;
    total.clicks += sum.clicks;
  }
  return total;
}

}  // namespace

void CpuBackend::two_task_loss(const Objective& objective, MatrixView<const float> logits,
                               std::span<const std::uint8_t> click, std::span<const std::uint8_t> conversion,
                               std::int64_t impressions, TaskLosses* losses, MatrixView<float> dlogits) {
  for (std::int64_t r = impressions; r < dlogits.rows; ++r) dlogits(r, 0) = dlogits(r, 1) = 0.0F;
  const Labels labels{click, conversion};
  const WeightSums weights = sum_weights(pool_, objective, logits, labels, impressions);
  const LossScales scales = loss_scales(objective, impressions, weights);
  LossRow total{};
  for (const LossRow& sum : sums_of_chunks<LossRow>(pool_, impressions, [&](LossRow&s, std::int64_t r) {
         const LossRow row = loss_row(objective, scales, logits(r, 0), logits(r, 1), labels.clicked(r),
                                      labels.converted(r), r, dlogits.row(r));
         s.ctr += row.ctr;
         s.conversion += row.conversion;
         s.auxiliary += row.auxiliary;
       })) {
    total.ctr += sum.ctr;
    total.conversion += sum.conversion;
    total.auxiliary += sum.auxiliary;
  }
  *losses = mean_losses_of(total, impressions, weights);
}

}  // namespace esmm::cpu
