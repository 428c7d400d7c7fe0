#include "kernels/metrics.hpp"

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/sort.hpp"
#include "kernels/read_out.hpp"

namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

enum Label : std::uint32_t { kNegative = 0, kPositive = 1, kOutside = 2 };  // outside of the task's space
enum class Task { ctr, cvr, ctcvr };

/// An integer that orders as the score does; -0 and +0 are equal.
__device__ std::uint32_t sort_key(float score) {
  constexpr std::uint32_t kSign = 0x80000000U;
  const std::uint32_t bits = __float_as_uint(score);
  if (bits == kSign) return kSign;
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

__global__ void key_scores(const float* scores, const std::uint8_t* labels, std::int64_t size, std::uint32_t* keys,
                           std::uint32_t* values, Ranking::Result* result) {
  for (std::int64_t i = grid_thread(); i < size; i += grid_threads()) {
    if (scores[i] != scores[i]) atomicAdd(&result->not_numbers, 1ULL);
    keys[i] = sort_key(scores[i]);
    values[i] = labels[i] != 0 ? kPositive : kNegative;
  }
}

/// Sums of one block of rows.
struct TaskSums {
  double loss, predicted, count, positives;
};

/// Scores of one task as keys, its labels, and sums per block of kReduceBlock rows.
__global__ void score_task(Task task, ReadOut read_out, MatrixView<const float> logits, const std::uint8_t* clicks,
                           const std::uint8_t* conversions, std::uint32_t* keys, std::uint32_t* values,
                           TaskSums* block_sums, Ranking::Result* result) {
  TaskSums sums{};
  const std::int64_t r = grid_thread();
  if (r < logits.rows) {
    const float a = logits(r, 0), b = logits(r, 1);
    const double wide_a = static_cast<double>(a), wide_b = static_cast<double>(b);
    const bool click = clicks[r] != 0, conversion = conversions[r] != 0;
    const bool inside = task != Task::cvr || click;
    const bool label = task == Task::ctr ? click : task == Task::cvr ? conversion : click && conversion;
    const Prediction p = predict(read_out, a, b);
    const float score = task == Task::ctr ? p.pctr : task == Task::cvr ? p.pcvr : p.pctcvr;
    if (inside) {
      sums.loss = task == Task::ctr   ? ctr_loss(wide_a, label)
                  : task == Task::cvr ? pcvr_loss(read_out, wide_a, wide_b, label)
                                      : pctcvr_loss(read_out, wide_a, wide_b, label);
      sums.predicted = static_cast<double>(score);
      sums.count = 1.0;
      sums.positives = label ? 1.0 : 0.0;
      if (score != score) atomicAdd(&result->not_numbers, 1ULL);
    }
    keys[r] = sort_key(score);
    values[r] = !inside ? kOutside : label ? kPositive : kNegative;
  }
  double* scratch = shared_memory<double>();
  const double loss = block_sum(sums.loss, scratch);
  const double predicted = block_sum(sums.predicted, scratch);
  const double count = block_sum(sums.count, scratch);
  const double positives = block_sum(sums.positives, scratch);
  if (threadIdx.x == 0) block_sums[blockIdx.x] = {loss, predicted, count, positives};
}

/// Adds up the blocks' sums in a fixed order, by one block.
__global__ void add_task_sums(const TaskSums* block_sums, std::int64_t blocks, TaskSums* out) {
  TaskSums sums{};
  for (std::int64_t b = threadIdx.x; b < blocks; b += blockDim.x) {
    sums.loss += block_sums[b].loss;
    sums.predicted += block_sums[b].predicted;
    sums.count += block_sums[b].count;
    sums.positives += block_sums[b].positives;
  }
  double* scratch = shared_memory<double>();
  const double loss = block_sum(sums.loss, scratch);
  const double predicted = block_sum(sums.predicted, scratch);
  const double count = block_sum(sums.count, scratch);
  const double positives = block_sum(sums.positives, scratch);
  if (threadIdx.x == 0) *out = {loss, predicted, count, positives};
}

__global__ void mark_negatives(const std::uint32_t* labels, std::int64_t size, std::uint32_t* negative) {
  for (std::int64_t i = grid_thread(); i < size; i += grid_threads()) negative[i] = labels[i] == kNegative ? 1 : 0;
}

/// Elements of the ascending keys that are below `key`, or, with `equal_too`, not above it.
__device__ std::int64_t count_below(const std::uint32_t* keys, std::int64_t size, std::uint32_t key, bool equal_too) {
  std::int64_t low = 0, high = size;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (keys[middle] < key || (equal_too && keys[middle] == key)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/// The Mann-Whitney statistic, doubled. Whole numbers: their sum does not depend on the order of the atomics.
__global__ void count_pairs(const std::uint32_t* keys, const std::uint32_t* labels, const std::uint32_t* negatives,
                            std::int64_t size, Ranking::Result* result) {
  unsigned long long twice = 0, positives = 0;
  const auto negatives_among_first = [&](std::int64_t count) { return count == 0 ? 0U : negatives[count - 1]; };
  for (std::int64_t i = grid_thread(); i < size; i += grid_threads()) {
    if (labels[i] != kPositive) continue;
    twice += negatives_among_first(count_below(keys, size, keys[i], false));
    twice += negatives_among_first(count_below(keys, size, keys[i], true));
    ++positives;
  }
  auto* scratch = shared_memory<unsigned long long>();
  const unsigned long long block_twice = block_sum(twice, scratch);
  const unsigned long long block_positives = block_sum(positives, scratch);
  if (threadIdx.x != 0) return;
  atomicAdd(&result->twice_pairs, block_twice);
  atomicAdd(&result->positives, block_positives);
  if (blockIdx.x == 0) result->negatives = negatives[size - 1];
}

constexpr std::size_t kScoreBytes = kReduceBlock * sizeof(double);

/// The AUC of what `ranking` was filled with.
std::optional<double> rank(CommandQueue& queue, Ranking& ranking, std::int64_t size) {
  queue.enqueue([&](cudaStream_t stream) {
    constexpr int kBits = 32;
    sort_pairs(
        {ranking.unsorted_keys.data(), ranking.unsorted_labels.data(), ranking.keys.data(), ranking.labels.data()},
        size, kBits, ranking.scratch, stream);
  });
  queue.launch<mark_negatives>(thread_per_item(size), ranking.labels.data(), size, ranking.negative.data());
  queue.enqueue([&](cudaStream_t stream) {
    inclusive_sum(ranking.negative.data(), ranking.negatives.data(), size, ranking.scratch, stream);
  });
  Geometry geometry = thread_per_item(size, kReduceBlock);
  geometry.shared_bytes = kScoreBytes;
  queue.launch<count_pairs>(geometry, ranking.keys.data(), ranking.labels.data(), ranking.negatives.data(), size,
                            ranking.result.data());
  Ranking::Result result{};
  ranking.result.copy_to_host({&result, 1});
  if (result.not_numbers > 0) throw internal_error("auc: a score is not a number. The model has diverged: lower --lr.");
  if (result.positives == 0 || result.negatives == 0) return std::nullopt;
  return static_cast<double>(result.twice_pairs) /
         (2.0 * static_cast<double>(result.positives) * static_cast<double>(result.negatives));
}

}  // namespace

void Ranking::resize(std::int64_t size) {
  for (Buffer<std::uint32_t>* buffer : {&unsorted_keys, &unsorted_labels, &keys, &labels, &negative, &negatives}) {
    buffer->resize(size);
  }
  reserve_sort(size, scratch);
  result.zero();
}

std::optional<double> CudaBackend::auc(std::span<const float> scores, std::span<const std::uint8_t> labels) {
  const auto size = static_cast<std::int64_t>(scores.size());
  if (size == 0) return std::nullopt;
  ranking_.resize(size);
  queue_.launch<key_scores>(thread_per_item(size), scores.data(), labels.data(), size, ranking_.unsorted_keys.data(),
                            ranking_.unsorted_labels.data(), ranking_.result.data());
  return rank(queue_, ranking_, size);
}

std::array<TaskMetrics, 3> CudaBackend::task_metrics(MatrixView<const float> logits, ReadOut read_out,
                                                     std::span<const std::uint8_t> click,
                                                     std::span<const std::uint8_t> conversion) {
  std::array<TaskMetrics, 3> results;
  if (logits.rows == 0) return results;
  const std::int64_t blocks = (logits.rows + kReduceBlock - 1) / kReduceBlock;
  Buffer<TaskSums> sums(memory_, blocks + 1);
  TaskSums* total = sums.data() + blocks;
  for (std::size_t t = 0; t < results.size(); ++t) {
    ranking_.resize(logits.rows);
    queue_.launch<score_task>(Geometry{blocks, kReduceBlock, kScoreBytes}, static_cast<Task>(t), read_out, logits,
                              click.data(), conversion.data(), ranking_.unsorted_keys.data(),
                              ranking_.unsorted_labels.data(), sums.data(), ranking_.result.data());
    queue_.launch<add_task_sums>(Geometry{1, kReduceBlock, kScoreBytes}, sums.data(), blocks, total);
    results[t].auc = rank(queue_, ranking_, logits.rows);
    TaskSums host{};
    memory_.copy_to_host(&host, total, sizeof(host));
    results[t].loss = host.loss;
    results[t].predicted = host.predicted;
    results[t].count = static_cast<std::int64_t>(host.count);
    results[t].positives = static_cast<std::int64_t>(host.positives);
  }
  return results;
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
