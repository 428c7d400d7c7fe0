#pragma once
#include <memory>

#include "kernels/backend.hpp"
#include "kernels/cuda/command_queue.hpp"
#include "kernels/cuda/options.hpp"
#include "kernels/cuda/ranking.hpp"
#include "kernels/cuda/tower_engine.hpp"
#include "kernels/loss_rows.hpp"

namespace esmm::ESMM_DEVICE_NAMESPACE {

/// The operations, each in the file of its name: embedding.cu, sorted_ids.cu, gather.cu, towers.cu, separate_towers.cu,
/// loss.cu, optimizer.cu, metrics.cu. Everything is enqueued; only reading results back synchronises (metrics, norms,
/// sizes).
class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const DeviceOptions& options);
  ~CudaBackend() override;

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] Memory& memory() override { return memory_; }
  [[nodiscard]] bool memory_is_host() const override { return false; }
  [[nodiscard]] std::pmr::memory_resource& host_memory() override { return pinned_; }
  void synchronise() override;
  void copy(void* to, const void* from, std::size_t bytes) override;
  void upload(void* to, const void* from, std::size_t bytes) override;
  [[nodiscard]] std::unique_ptr<Fence> make_fence() override;
  void record(Queue queue, Fence& fence) override;
  void wait(Queue queue, Fence& fence) override;
  void replay(const ReplayKey& key, void (*enqueue)(void*), void* context) override;
  [[nodiscard]] std::string replay_summary() const override;
  TowerChoice choose_towers(const TowerShape& shape, std::int64_t impressions, std::int64_t common_rows,
                            bool dropout) override;

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
                                                        std::span<const std::uint8_t> click,
                                                        std::span<const std::uint8_t> conversion) override;
  [[nodiscard]] std::unique_ptr<SortedIds> make_sorted_ids() override;

 private:
  std::int64_t sum_squared_gradients(std::span<const float> gradients, const SortedIds* rows);

  std::string name_;
  Stream work_, copies_;
  DeviceMemory memory_{work_};
  PinnedMemory pinned_;
  CommandQueue queue_{work_, memory_};
  TowerEngine towers_;                       // of queue_, memory_ and the options
  Buffer<float> hot_sums_{memory_, 0};       // of embedding gradients
  Buffer<double> partial_sums_{memory_, 0};  // ordered partial sums of the loss, norms and metrics
  Buffer<WeightSums> loss_weights_{memory_, 1};
  Ranking ranking_{memory_};
};

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
