#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "kernels/cpu/cpu_backend.hpp"

namespace esmm::test {

/// Memory that may be touched only while it is open: anything else is a segmentation fault. Rows are padded to 16
/// floats. Never used again once released.
class FarMemory final : public Memory {
 public:
  FarMemory();
  ~FarMemory() override;
  FarMemory(const FarMemory&) = delete;
  FarMemory& operator=(const FarMemory&) = delete;

  void* allocate(std::size_t bytes) override;
  void release(void*) noexcept override {}
  void copy_from_host(void* to, const void* from, std::size_t bytes) override;
  void copy_to_host(void* to, const void* from, std::size_t bytes) const override;
  void zero(void* to, std::size_t bytes) override;
  [[nodiscard]] std::int64_t row_stride(std::int64_t columns) const override { return (columns + 15) / 16 * 16; }

  std::function<void(const void* begin, std::size_t bytes)> on_zero;  // called first

  /// Opens the memory for as long as it lives; nests.
  class Open {
   public:
    explicit Open(const FarMemory& memory);
    ~Open();
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    const FarMemory& memory_;
  };

 private:
  std::byte* base_;
  mutable std::size_t used_ = 0;
  mutable int open_ = 0;
};

/// Host memory that knows what was allocated from it.
class TrackedResource final : public std::pmr::memory_resource {
 public:
  [[nodiscard]] bool holds(const void* begin, std::size_t bytes) const;

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* pointer, std::size_t bytes, std::size_t alignment) override;
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  mutable std::mutex mutex_;
  std::map<const std::byte*, std::size_t> blocks_;
};

/// The CPU backend as a device: its memory is out of the host's reach, and uploads run as late as the fences allow.
/// Cuts padding off before the CPU's operations see it, so results equal the CPU's to the last bit. Fails the test when
/// - an upload does not come from host_memory(), or its source changes before the host has waited for it,
/// - an upload's target is still read by work that the copy queue has not waited for, or the other way round,
/// - a replay makes other calls than the first one with an equal key.
class FarBackend final : public cpu::CpuBackend {
 public:
  explicit FarBackend(int threads);

  [[nodiscard]] std::string name() const override { return "far"; }
  [[nodiscard]] Memory& memory() override { return far_; }
  [[nodiscard]] bool memory_is_host() const override { return false; }
  [[nodiscard]] std::pmr::memory_resource& host_memory() override { return host_memory_; }
  void synchronise() override { confirm_uploads(enqueued_[1]); }

  void copy(void* to, const void* from, std::size_t bytes) override;
  void upload(void* to, const void* from, std::size_t bytes) override;
  [[nodiscard]] std::unique_ptr<Fence> make_fence() override;
  void record(Queue queue, Fence& fence) override;
  void wait(Queue queue, Fence& fence) override;
  void replay(const ReplayKey& key, void (*enqueue)(void*), void* context) override;

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

  /// Keys that were replayed so far, and calls of `replay`.
  [[nodiscard]] std::size_t recorded_keys() const { return recorded_.size(); }
  [[nodiscard]] std::int64_t replays() const { return replays_; }

 private:
  struct FarFence;
  struct Upload {
    std::byte* to = nullptr;
    const std::byte* from = nullptr;
    std::size_t bytes = 0;
    std::uint64_t content = 0;  // a hash, when it was enqueued
  };
  /// The last time that a queue touched a range.
  struct Access {
    const std::byte* begin = nullptr;
    const std::byte* end = nullptr;
    std::uint64_t position = 0;
  };

  void run_uploads(std::uint64_t end);
  void confirm_uploads(std::uint64_t end);
  void expect_ordered(Queue queue, const void* begin, std::size_t bytes, const char* what);
  template <class... Values>
  void note(const Values&... values);
  [[nodiscard]] Bags trimmed(Bags bags) const;
  [[nodiscard]] TowerInputs trimmed(TowerInputs inputs) const;

  TrackedResource host_memory_;
  FarMemory far_;
  std::deque<Upload> uploads_;                   // enqueued, and not waited for by the host
  std::uint64_t uploads_run_ = 0;                // position of the copy queue
  std::uint64_t uploads_confirmed_ = 0;          // by a wait of the host
  std::uint64_t enqueued_[2] = {0, 0};           // by queue: copies or uploads so far
  std::uint64_t knows_[2] = {0, 0};              // by queue: position of the other one that it has waited for
  std::vector<Access> touched_[2];               // by queue
  std::vector<std::uint64_t>* calls_ = nullptr;  // of the replay that is going on
  std::vector<std::pair<ReplayKey, std::vector<std::uint64_t>>> recorded_;
  std::int64_t replays_ = 0;
};

}  // namespace esmm::test
