#include "kernels/optimizer.hpp"

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/sorted_ids.hpp"
#include "kernels/cuda/update_row.cuh"

namespace esmm::ESMM_DEVICE_NAMESPACE {

namespace {

constexpr std::int64_t kNormChunk = 64 * kReduceBlock;  // elements that one block sums

template <OptimizerKind kind>
__global__ void update_elements(DeviceStep step, std::int64_t count, const float* gradients, float* parameters,
                                float* slot0, float* slot1) {
  if (step.skipped()) return;
  const StepConstants<float> c = step.load();
  for (std::int64_t i = grid_thread(); i < count; i += grid_threads()) {
    float none = 0.0F;
    float& first = kSlots<kind> > 0 ? slot0[i] : none;
    float& second = kSlots<kind> > 1 ? slot1[i] : none;
    step_element<kind>(c, gradients[i], parameters[i], first, second);
  }
}

/// Columns from `first` on get `value`, those before it zero.
__global__ void fill_state(MatrixView<float> state, std::int64_t first, float value) {
  const std::int64_t count = state.rows * state.cols;
  for (std::int64_t i = grid_thread(); i < count; i += grid_threads()) {
    const std::int64_t column = i % state.cols;
    state(i / state.cols, column) = column < first ? 0.0F : value;
  }
}

/// Σ x² over chunks of kNormChunk elements of the first `rows` rows, all of them if null; sums [chunks].
__global__ void sum_squares(MatrixView<const float> values, const std::uint32_t* rows, double* sums) {
  const std::int64_t count = (rows == nullptr ? values.rows : std::int64_t{*rows}) * values.cols;
  const bool gapless = values.stride == values.cols;
  const std::int64_t first = blockIdx.x * kNormChunk;
  const std::int64_t last = first + kNormChunk < count ? first + kNormChunk : count;
  double sum = 0.0;
  for (std::int64_t i = first + threadIdx.x; i < last; i += kReduceBlock) {
    const double x = static_cast<double>(gapless ? values.data[i] : values(i / values.cols, i % values.cols));
    sum += x * x;
  }
  const double total = block_sum(sum, shared_memory<double>());
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

/// Of one block: adds `count` partial sums of squares in a fixed order. The sum is thread 0's.
__device__ double add_squares(const double* sums, std::int64_t count) {
  double sum = 0.0;
  for (std::int64_t i = threadIdx.x; i < count; i += kReduceBlock) sum += sums[i];
  return block_sum(sum, shared_memory<double>());
}

/// One block.
__global__ void limit_norm(const double* sums, std::int64_t count, const float* limit, float* scale) {
  const double total = add_squares(sums, count);
  if (threadIdx.x == 0) *scale = clipping_factor(total, *limit);
}

/// One block.
__global__ void flag_nonfinite(const double* sums, std::int64_t count, const TaskLosses* losses, std::int64_t* skip) {
  const double total = add_squares(sums, count);
  if (threadIdx.x == 0) *skip = is_finite(*losses, total) ? 0 : 1;
}

constexpr std::size_t kReduceBytes = kReduceBlock * sizeof(double);

std::int64_t norm_chunks(MatrixView<const float> values) {
  return (values.rows * values.cols + kNormChunk - 1) / kNormChunk;
}
/// sums [norm_chunks(values)]
void enqueue_squares(CommandQueue& queue, MatrixView<const float> values, const std::uint32_t* rows, double* sums) {
  queue.launch<sum_squares>(Geometry{norm_chunks(values), kReduceBlock, kReduceBytes}, values, rows, sums);
}

}  // namespace

void CudaBackend::initialise_state(const OptimizerConfig& config, MatrixView<float> state, std::int64_t dim) {
  const bool has_accumulator = config.kind == OptimizerKind::adagrad || config.kind == OptimizerKind::rowwise_adagrad ||
                               config.kind == OptimizerKind::ftrl;
  const std::int64_t first = config.kind == OptimizerKind::ftrl ? dim : 0;  // ftrl: z, then the accumulator n
  queue_.launch<fill_state>(thread_per_item(state.rows * state.cols), state, first,
                            has_accumulator ? config.initial_accumulator : 0.0F);
}

void CudaBackend::update_dense(std::span<float> parameters, std::span<const float> gradients, std::span<float> state,
                               const OptimizerStep& optimizer) {
  const auto count = static_cast<std::int64_t>(parameters.size());
  const DeviceStep step(queue_, optimizer, UpdateScope::dense);
  float* slot0 = state.data();
  float* slot1 = state.size() > parameters.size() ? slot0 + count : slot0;
  with_kind(optimizer.config.kind, [&]<OptimizerKind kind>() {
    if constexpr (kind != OptimizerKind::rowwise_adagrad) {  // for tables only, refused by esmm::update_dense
      queue_.launch<update_elements<kind>>(thread_per_item(count), step, count, gradients.data(), parameters.data(),
                                           slot0, slot1);
    }
  });
}

/// Enqueues sums of the squares of the towers' gradients and, unless null, of those of rows, into `partial_sums_`;
/// returns how many sums.
std::int64_t CudaBackend::sum_squared_gradients(std::span<const float> gradients, const SortedIds* sorted) {
  const MatrixView<const float> flat{gradients.data(), 1, static_cast<std::int64_t>(gradients.size())};
  const auto* ids = static_cast<const DeviceSortedIds*>(sorted);
  const MatrixView<const float> rows =
      ids == nullptr ? MatrixView<const float>{}
                     : MatrixView<const float>{ids->gradient.data(), ids->occurrences(), ids->gradient_dim};
  const std::int64_t chunks = norm_chunks(flat) + norm_chunks(rows);
  partial_sums_.resize(chunks);
  enqueue_squares(queue_, flat, nullptr, partial_sums_.data());
  if (ids != nullptr) enqueue_squares(queue_, rows, ids->count.data(), partial_sums_.data() + norm_chunks(flat));
  return chunks;
}

void CudaBackend::clipping_scale(std::span<const float> gradients, const SortedIds* rows, float limit, float* scale) {
  const std::int64_t chunks = sum_squared_gradients(gradients, rows);
  queue_.launch<limit_norm>(Geometry{1, kReduceBlock, kReduceBytes}, partial_sums_.data(), chunks,
                            queue_.constant(limit), scale);
}

void CudaBackend::check_finite(const TaskLosses* losses, std::span<const float> gradients, const SortedIds* rows,
                               std::int64_t* skip) {
  const std::int64_t chunks = sum_squared_gradients(gradients, rows);
  queue_.launch<flag_nonfinite>(Geometry{1, kReduceBlock, kReduceBytes}, partial_sums_.data(), chunks, losses, skip);
}

double CudaBackend::squared_norm(MatrixView<const float> values) {
  if (values.empty()) return 0.0;
  const std::int64_t chunks = norm_chunks(values);
  partial_sums_.resize(chunks);
  enqueue_squares(queue_, values, nullptr, partial_sums_.data());
  std::vector<double> sums(static_cast<std::size_t>(chunks));
  partial_sums_.copy_to_host(sums);
  double total = 0.0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
