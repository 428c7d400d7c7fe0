#include "kernels/metrics.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <vector>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/radix_sort.hpp"
#include "kernels/error.hpp"
#include "kernels/read_out.hpp"

namespace esmm::cpu {

namespace {

constexpr std::int64_t kChunk = 65536;  // scores

/// An integer that orders as the score does; -0 and +0 are equal.
std::uint32_t sort_key(float score) {
  constexpr std::uint32_t kSign = 0x80000000U;
  const auto bits = std::bit_cast<std::uint32_t>(score);
  if (bits == kSign) return kSign;
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

/// Writes the keys of positives from keys[0] up and of negatives from keys[positives] up; returns the positives.
std::int64_t split_by_label(ThreadPool& pool, std::span<const float> scores, std::span<const std::uint8_t> labels,
                            std::span<std::uint32_t> keys) {
  const auto size = static_cast<std::int64_t>(scores.size());
  const std::int64_t chunks = (size + kChunk - 1) / kChunk;
  std::vector<std::int64_t> first_positive(static_cast<std::size_t>(chunks) + 1);
  std::atomic<bool> has_nan{false};
  pool.for_each_chunk(chunks, [&](std::int64_t chunk, int) {
    std::int64_t count = 0;
    bool nan = false;
    const auto end = static_cast<std::size_t>(std::min(size, (chunk + 1) * kChunk));
    for (auto i = static_cast<std::size_t>(chunk * kChunk); i < end; ++i) {
      count += labels[i] != 0 ? 1 : 0;
      nan |= std::isnan(scores[i]);
    }
    first_positive[static_cast<std::size_t>(chunk) + 1] = count;
    if (nan) has_nan.store(true, std::memory_order_relaxed);
  });
  if (has_nan) throw internal_error("auc: a score is not a number. The model has diverged: lower --lr.");
  for (std::size_t chunk = 0; chunk < static_cast<std::size_t>(chunks); ++chunk) {
    first_positive[chunk + 1] += first_positive[chunk];
  }
  const std::int64_t positives = first_positive.back();
  pool.for_each_chunk(chunks, [&](std::int64_t chunk, int) {
    const std::int64_t begin = chunk * kChunk;
    std::int64_t place[2] = {positives + begin - first_positive[static_cast<std::size_t>(chunk)],
                             first_positive[static_cast<std::size_t>(chunk)]};
    for (std::int64_t i = begin; i < std::min(size, begin + kChunk); ++i) {
      const auto index = static_cast<std::size_t>(i);
      keys[static_cast<std::size_t>(place[labels[index] != 0 ? 1 : 0]++)] = sort_key(scores[index]);
    }
  });
  return positives;
}

/// Twice the Mann-Whitney statistic of some positives: for each, 2 per negative below it and 1 per equal one.
/// Both ascending. At most 2 · 2^31 · 2^31 over all positives of 2^32 pairs: fits.
std::uint64_t twice_mann_whitney(std::span<const std::uint32_t> positives, std::span<const std::uint32_t> negatives) {
  std::uint64_t twice = 0;
  if (positives.empty()) return twice;
  auto below = std::lower_bound(negatives.begin(), negatives.end(), positives.front());
  auto upto = below;  // end of the negatives not above the current positive; `below`: of those below it
  for (const std::uint32_t positive : positives) {
    while (below != negatives.end() && *below < positive) ++below;
    upto = std::max(upto, below);
    while (upto != negatives.end() && *upto == positive) ++upto;
    twice += static_cast<std::uint64_t>((below - negatives.begin()) + (upto - negatives.begin()));
  }
  return twice;
}

}  // namespace

std::optional<double> CpuBackend::auc(std::span<const float> scores, std::span<const std::uint8_t> labels) {
  const auto size = static_cast<std::int64_t>(scores.size());
  Buffer<std::uint32_t> keys(memory_, size);
  Buffer<std::uint32_t> scratch(memory_, size);
  Buffer<std::uint32_t> counts(memory_, 0);
  const auto positive_count = static_cast<std::size_t>(split_by_label(pool_, scores, labels, keys.span()));
  const std::size_t negative_count = scores.size() - positive_count;
  if (positive_count == 0 || negative_count == 0) return std::nullopt;
  const auto positives =
      radix_sort(pool_, keys.span().first(positive_count), scratch.span().first(positive_count), 0, 32, counts);
  const auto negatives =
      radix_sort(pool_, keys.span().subspan(positive_count), scratch.span().subspan(positive_count), 0, 32, counts);

  const auto chunks = (static_cast<std::int64_t>(positive_count) + kChunk - 1) / kChunk;
  std::vector<std::uint64_t> twice(static_cast<std::size_t>(chunks));
  pool_.for_each_chunk(chunks, [&](std::int64_t chunk, int) {
    const auto begin = static_cast<std::size_t>(chunk * kChunk);
    twice[static_cast<std::size_t>(chunk)] =
        twice_mann_whitney(positives.subspan(begin, std::min<std::size_t>(kChunk, positive_count - begin)), negatives);
  });
  std::uint64_t sum = 0;
  for (const std::uint64_t part : twice) sum += part;
  return static_cast<double>(sum) / (2.0 * static_cast<double>(positive_count) * static_cast<double>(negative_count));
}

namespace {

/// One task: scores and labels for the AUC, sums for the rest.
struct Task {
  std::vector<float> scores;
  std::vector<std::uint8_t> labels;
  TaskMetrics metrics;

  void add(float score, bool label, double loss) {
    scores.push_back(score);
    labels.push_back(label ? 1 : 0);
    metrics.loss += loss;
    metrics.predicted += static_cast<double>(score);
    metrics.positives += label ? 1 : 0;
  }
};

}  // namespace

std::array<TaskMetrics, 3> CpuBackend::task_metrics(MatrixView<const float> logits, ReadOut read_out,
                                                    std::span<const std::uint8_t> clicks,
                                                    std::span<const std::uint8_t> conversions) {
  std::array<Task, 3> tasks;
  auto& [ctr, cvr, ctcvr] = tasks;
  for (std::int64_t r = 0; r < logits.rows; ++r) {
    const float a = logits(r, 0), b = logits(r, 1);
    const double wide_a = static_cast<double>(a), wide_b = static_cast<double>(b);
    const bool click = clicks[static_cast<std::size_t>(r)] != 0;
    const bool conversion = conversions[static_cast<std::size_t>(r)] != 0;
    const bool both = click && conversion;
    const Prediction p = predict(read_out, a, b);
    ctr.add(p.pctr, click, ctr_loss(wide_a, click));
    if (click) cvr.add(p.pcvr, conversion, pcvr_loss(read_out, wide_a, wide_b, conversion));
    ctcvr.add(p.pctcvr, both, pctcvr_loss(read_out, wide_a, wide_b, both));
  }
  std::array<TaskMetrics, 3> results;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    results[t] = tasks[t].metrics;
    results[t].count = static_cast<std::int64_t>(tasks[t].labels.size());
    results[t].auc = auc(tasks[t].scores, tasks[t].labels);
  }
  return results;
}

}  // namespace esmm::cpu
