#pragma once
#include <memory>

#include "kernels/backend.hpp"
#include "kernels/thread_pool.hpp"

namespace esmm::cpu {

class CpuMemory final : public Memory {
 public:
  CpuMemory() = default;
  /// Zeroes what is large on the threads of `pool`, which touch its pages for the first time; not within a loop of it.
  explicit CpuMemory(ThreadPool& pool) : pool_(&pool) {}

  void* allocate(std::size_t bytes) override;
  void release(void* pointer) noexcept override;
  void copy_from_host(void* to, const void* from, std::size_t bytes) override;
  void copy_to_host(void* to, const void* from, std::size_t bytes) const override;
  void zero(void* to, std::size_t bytes) override;
  [[nodiscard]] std::int64_t row_stride(std::int64_t columns) const override { return (columns + 3) / 4 * 4; }

 private:
  ThreadPool* pool_ = nullptr;
};

/// The operations, each in the file of its name: gather.cpp, embedding.cpp, towers.cpp, separate_towers.cpp, loss.cpp,
/// optimizer.cpp, metrics.cpp.
class CpuBackend : public Backend {
 public:
  CpuBackend(int threads, Precision precision);
  ~CpuBackend() override;

  [[nodiscard]] std::string name() const override { return "cpu"; }
  [[nodiscard]] Memory& memory() override { return memory_; }
  [[nodiscard]] bool memory_is_host() const override { return true; }
  [[nodiscard]] std::pmr::memory_resource& host_memory() override { return *std::pmr::new_delete_resource(); }

  // Operations and copies are done when they return, so every fence is passed.
  void synchronise() override {}
  void copy(void* to, const void* from, std::size_t bytes) override;
  void upload(void* to, const void* from, std::size_t bytes) override;
  [[nodiscard]] std::unique_ptr<Fence> make_fence() override;
  void record(Queue, Fence&) override {}
  void wait(Queue, Fence&) override {}
  void replay(const ReplayKey&, void (*enqueue)(void*), void* context) override { enqueue(context); }

  void copy_matrix(MatrixView<const float> from, MatrixView<float> to) override;
  void gather_ids(const StoredIds& from, std::span<const std::uint32_t> places, const EmptyBags& bags) override;
  void pool_embeddings(const Bags& bags, MatrixView<const float> table, MatrixView<float> out) override;
  void sort_ids(const Bags& sample, const Bags& common, SortedIds& sorted) override;
  void update_embeddings(const SortedIds& sorted, const Bags& sample, const Bags& common,
                         MatrixView<const float> dpooled_sample, MatrixView<const float> dpooled_common,
                         const OptimizerStep& optimizer, EmbeddingArena arena) override;
  void embedding_gradient(SortedIds& sorted, const Bags& sample, const Bags& common,
                          MatrixView<const float> dpooled_sample, MatrixView<const float> dpooled_common,
                          std::int64_t dim) override;
  void update_rows(const SortedIds& sorted, const OptimizerStep& optimizer, EmbeddingArena arena) override;
  [[nodiscard]] SparseGradient row_gradients(const SortedIds& sorted) override;
  void towers_forward(const TowerShape& shape, const TowerViews<const float>& parameters, const TowerInputs& inputs,
                      const Dropout& dropout, TowerWorkspace& workspace, MatrixView<float> logits) override;
  void towers_backward(const TowerShape& shape, const TowerViews<const float>& parameters, const TowerInputs& inputs,
                       const Dropout& dropout, MatrixView<const float> dlogits, TowerWorkspace& workspace,
                       const TowerViews<float>& gradients, MatrixView<float> dcommon,
                       MatrixView<float> dsample) override;
  void separate_towers(MatrixView<float> first_layer, std::int64_t pooled, std::int64_t dim) override;
  void two_task_loss(const Objective& objective, MatrixView<const float> logits, std::span<const std::uint8_t> click,
                     std::span<const std::uint8_t> conversion, std::int64_t impressions, TaskLosses* losses,
                     MatrixView<float> dlogits) override;
  void initialise_state(const OptimizerConfig& config, MatrixView<float> state, std::int64_t dim) override;
  void update_dense(std::span<float> parameters, std::span<const float> gradients, std::span<float> state,
                    const OptimizerStep& optimizer) override;
  void clipping_scale(std::span<const float> gradients, const SortedIds* rows, float limit, float* scale) override;
  void check_finite(const TaskLosses* losses, std::span<const float> gradients, const SortedIds* rows,
                    std::int64_t* skip) override;
  [[nodiscard]] double squared_norm(MatrixView<const float> values) override;
  [[nodiscard]] std::optional<double> auc(std::span<const float> scores, std::span<const std::uint8_t> labels) override;
  [[nodiscard]] std::array<TaskMetrics, 3> task_metrics(MatrixView<const float> logits, ReadOut read_out,
                                                        std::span<const std::uint8_t> clicks,
                                                        std::span<const std::uint8_t> conversions) override;
  [[nodiscard]] std::unique_ptr<SortedIds> make_sorted_ids() override;

 private:
  [[nodiscard]] double squared_gradient_norm(std::span<const float> gradients, const SortedIds* rows);

  ThreadPool pool_;
  Precision precision_;
  CpuMemory memory_{pool_};
  Buffer<float> tile_scratch_{memory_, 0};    // of towers in bfloat16
  Buffer<float> row_gradients_{memory_, 0};   // [threads, kBlockRows, D] of update_embeddings
  Buffer<float> partial_sums_{memory_, 0};    // [pieces of hot rows, D]
  Buffer<double> partial_norms_{memory_, 0};  // of squared_norm
};

}  // namespace esmm::cpu
