#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "kernels/batch.hpp"
#include "kernels/buffer.hpp"
#include "kernels/embedding.hpp"
#include "kernels/loss.hpp"
#include "kernels/metrics.hpp"
#include "kernels/optimizer.hpp"
#include "kernels/towers.hpp"

namespace esmm {

/// A device and an in-order queue of operations on it: one pure virtual per operation, so that a missing
/// implementation does not compile. Call the free functions of embedding.hpp, towers.hpp, … instead: they validate
/// shapes once and dispatch here; the meaning of every operation is documented there.
class Backend {
 public:
  virtual ~Backend() = default;
  [[nodiscard]] virtual std::string name() const = 0;  // "cpu"
  [[nodiscard]] virtual Memory& memory() = 0;
  /// Waits until everything that was enqueued is done. Nothing to do on the CPU.
  virtual void synchronise() = 0;

  /// to[r, c] = from[r, c]; both [R, C], not overlapping.
  virtual void copy_matrix(MatrixView<const float> from, MatrixView<float> to) = 0;
  virtual void pool_embeddings(const Bags& bags, MatrixView<const float> table, MatrixView<float> out) = 0;
  virtual void sort_ids(const Bags& sample, const Bags& common, SortedIds& sorted) = 0;
  virtual void update_embeddings(const SortedIds& sorted, const Bags& sample, const Bags& common,
                                 MatrixView<const float> dpooled_sample, MatrixView<const float> dpooled_common,
                                 const OptimizerStep& optimizer, EmbeddingArena arena) = 0;
  virtual SparseGradient embedding_gradient(SortedIds& sorted, const Bags& sample, const Bags& common,
                                            MatrixView<const float> dpooled_sample,
                                            MatrixView<const float> dpooled_common, std::int64_t dim) = 0;
  virtual void update_rows(const SparseGradient& gradient, const OptimizerStep& optimizer, EmbeddingArena arena) = 0;

  virtual void towers_forward(const TowerShape& shape, const TowerViews<const float>& parameters,
                              const TowerInputs& inputs, const Dropout& dropout, TowerWorkspace& workspace,
                              MatrixView<float> logits) = 0;
  virtual void towers_backward(const TowerShape& shape, const TowerViews<const float>& parameters,
                               const TowerInputs& inputs, const Dropout& dropout, MatrixView<const float> dlogits,
                               TowerWorkspace& workspace, const TowerViews<float>& gradients, MatrixView<float> dcommon,
                               MatrixView<float> dsample) = 0;

  virtual void two_task_loss(const Objective& objective, MatrixView<const float> logits,
                             std::span<const std::uint8_t> click, std::span<const std::uint8_t> conversion,
                             TaskLosses& losses, MatrixView<float> dlogits) = 0;
  virtual void predict_probabilities(MatrixView<const float> logits, MatrixView<float> probabilities) = 0;

  virtual void initialise_state(const OptimizerConfig& config, MatrixView<float> state, std::int64_t dim) = 0;
  virtual void update_dense(std::span<float> parameters, std::span<const float> gradients, std::span<float> state,
                            const OptimizerStep& optimizer) = 0;
  [[nodiscard]] virtual double squared_norm(MatrixView<const float> values) = 0;

  [[nodiscard]] virtual std::optional<double> auc(std::span<const float> scores,
                                                  std::span<const std::uint8_t> labels) = 0;
  /// A new, empty SortedIds of this backend's kind.
  [[nodiscard]] virtual std::unique_ptr<SortedIds> make_sorted_ids() = 0;
};

/// The native CPU backend: `threads` workers (0 = one per core). Results do not depend on `threads`.
[[nodiscard]] std::unique_ptr<Backend> make_cpu_backend(int threads);

}  // namespace esmm
