#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

#include "kernels/batch.hpp"
#include "kernels/buffer.hpp"
#include "kernels/cuda/options.hpp"
#include "kernels/embedding.hpp"
#include "kernels/gather.hpp"
#include "kernels/loss.hpp"
#include "kernels/metrics.hpp"
#include "kernels/optimizer.hpp"
#include "kernels/read_out.hpp"
#include "kernels/towers.hpp"

namespace esmm {

enum class Queue {
  work,  // the operations, in order
  copy,  // uploads, in order among themselves
};

/// A point in a queue, set by Backend::record.
class Fence {
 public:
  virtual ~Fence() = default;
  /// The host waits until the queue has passed the recorded point; a fence that was never recorded is passed.
  virtual void wait() = 0;
};

/// The shapes that a sequence of operations depends on; see Backend::replay.
struct ReplayKey {
  std::int64_t impressions = 0, common_rows = 0, sample_ids = 0, common_ids = 0;
  bool operator==(const ReplayKey&) const = default;
};

/// A device, an in-order queue of operations on it and a second one of uploads: one pure virtual per operation, so that
/// a missing implementation does not compile. Call the free functions of embedding.hpp, towers.hpp, … instead: they
/// validate shapes once and dispatch here; the meaning of every operation is documented there.
class Backend {
 public:
  virtual ~Backend() = default;
  [[nodiscard]] virtual std::string name() const = 0;  // "cpu"
  [[nodiscard]] virtual Memory& memory() = 0;
  /// Whether the host may dereference memory(). On the CPU it may.
  [[nodiscard]] virtual bool memory_is_host() const = 0;
  /// Host memory for batches: page-locked on CUDA, any on the CPU. Any thread may allocate from it.
  [[nodiscard]] virtual std::pmr::memory_resource& host_memory() = 0;
  /// Waits until everything that was enqueued is done. Nothing to do on the CPU.
  virtual void synchronise() = 0;

  /// Copies within memory(), on the work queue; not overlapping.
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  /// Copies from host_memory() into memory(), on the copy queue. `from` must stay unchanged until a fence that was
  /// recorded on Queue::copy after it is passed.
  virtual void upload(void* to, const void* from, std::size_t bytes) = 0;
  [[nodiscard]] virtual std::unique_ptr<Fence> make_fence() = 0;
  /// Sets the fence to the point after everything that was enqueued on `queue` so far.
  virtual void record(Queue queue, Fence& fence) = 0;
  /// What is enqueued on `queue` later runs after the fence's point. Does not block the host.
  virtual void wait(Queue queue, Fence& fence) = 0;
  /// Enqueues the operations that `enqueue(context)` calls. Calls with an equal key must make the same calls with the
  /// same memory and shapes; scalars (learning rate, step, number of impressions) may differ. A device records them
  /// once per key and replays them. Call the function template below.
  virtual void replay(const ReplayKey& key, void (*enqueue)(void*), void* context) = 0;
  /// How often the calls of `replay` were enqueued one by one, recorded and replayed; one line, empty where nothing is
  /// recorded.
  [[nodiscard]] virtual std::string replay_summary() const { return {}; }
  /// Decides, before the first step, which kernels compute towers of this shape, by a measurement if the backend was
  /// made to measure; returns the decision, which a resumed run gives back. There is one way only on the CPU.
  /// Synchronises.
  virtual TowerChoice choose_towers(const TowerShape& /*shape*/, std::int64_t /*impressions*/,
                                    std::int64_t /*common_rows*/, bool /*dropout*/) {
    return {};
  }

  /// to[r, c] = from[r, c]; both [R, C], not overlapping.
  virtual void copy_matrix(MatrixView<const float> from, MatrixView<float> to) = 0;
  virtual void gather_ids(const StoredIds& from, std::span<const std::uint32_t> places, const EmptyBags& bags) = 0;
  virtual void pool_embeddings(const Bags& bags, MatrixView<const float> table, MatrixView<float> out) = 0;
  virtual void sort_ids(const Bags& sample, const Bags& common, SortedIds& sorted) = 0;
  virtual void update_embeddings(const SortedIds& sorted, const Bags& sample, const Bags& common,
                                 MatrixView<const float> dpooled_sample, MatrixView<const float> dpooled_common,
                                 const OptimizerStep& optimizer, EmbeddingArena arena) = 0;
  virtual void embedding_gradient(SortedIds& sorted, const Bags& sample, const Bags& common,
                                  MatrixView<const float> dpooled_sample, MatrixView<const float> dpooled_common,
                                  std::int64_t dim) = 0;
  virtual void update_rows(const SortedIds& sorted, const OptimizerStep& optimizer, EmbeddingArena arena) = 0;
  [[nodiscard]] virtual SparseGradient row_gradients(const SortedIds& sorted) = 0;

  virtual void towers_forward(const TowerShape& shape, const TowerViews<const float>& parameters,
                              const TowerInputs& inputs, const Dropout& dropout, TowerWorkspace& workspace,
                              MatrixView<float> logits) = 0;
  virtual void towers_backward(const TowerShape& shape, const TowerViews<const float>& parameters,
                               const TowerInputs& inputs, const Dropout& dropout, MatrixView<const float> dlogits,
                               TowerWorkspace& workspace, const TowerViews<float>& gradients, MatrixView<float> dcommon,
                               MatrixView<float> dsample) = 0;

  virtual void separate_towers(MatrixView<float> first_layer, std::int64_t pooled, std::int64_t dim) = 0;

  virtual void two_task_loss(const Objective& objective, MatrixView<const float> logits,
                             std::span<const std::uint8_t> click, std::span<const std::uint8_t> conversion,
                             std::int64_t impressions, TaskLosses* losses, MatrixView<float> dlogits) = 0;

  virtual void initialise_state(const OptimizerConfig& config, MatrixView<float> state, std::int64_t dim) = 0;
  virtual void update_dense(std::span<float> parameters, std::span<const float> gradients, std::span<float> state,
                            const OptimizerStep& optimizer) = 0;
  virtual void clipping_scale(std::span<const float> gradients, const SortedIds* rows, float limit, float* scale) = 0;
  virtual void check_finite(const TaskLosses* losses, std::span<const float> gradients, const SortedIds* rows,
                            std::int64_t* skip) = 0;
  [[nodiscard]] virtual double squared_norm(MatrixView<const float> values) = 0;

  [[nodiscard]] virtual std::optional<double> auc(std::span<const float> scores,
                                                  std::span<const std::uint8_t> labels) = 0;
  [[nodiscard]] virtual std::array<TaskMetrics, 3> task_metrics(MatrixView<const float> logits, ReadOut read_out,
                                                                std::span<const std::uint8_t> click,
                                                                std::span<const std::uint8_t> conversion) = 0;
  /// A new, empty SortedIds of this backend's kind.
  [[nodiscard]] virtual std::unique_ptr<SortedIds> make_sorted_ids() = 0;
};

/// Backend::replay of any callable; does not allocate.
template <class Enqueue>
void replay(Backend& backend, const ReplayKey& key, Enqueue&& enqueue) {
  using Plain = std::remove_reference_t<Enqueue>;
  backend.replay(
      key, [](void* context) { (*static_cast<Plain*>(context))(); },
      const_cast<void*>(static_cast<const void*>(&enqueue)));
}

/// The native CPU backend: `threads` workers (0 = one per core). Results do not depend on `threads`. bf16 works
/// everywhere, but is slower than fp32 where cpu_multiplies_bf16() is false.
[[nodiscard]] std::unique_ptr<Backend> make_cpu_backend(int threads, Precision precision);
[[nodiscard]] std::unique_ptr<Backend> make_cpu_backend(int threads);  // fp32
/// Whether the processor has instructions that multiply bfloat16 (AVX512-BF16), and this build uses them.
[[nodiscard]] bool cpu_multiplies_bf16();

}  // namespace esmm
