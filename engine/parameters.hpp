#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/model_spec.hpp"
#include "io/safetensors.hpp"
#include "kernels/backend.hpp"
#include "kernels/thread_pool.hpp"

namespace esmm {

/// Tower parameters, or their gradients, or the like: one flat vector, weights first, then biases and PReLU slopes
/// (which L2 leaves alone), with views of its parts.
class TowerParameters {
 public:
  TowerParameters(Memory& memory, const TowerShape& shape);

  [[nodiscard]] const TowerViews<float>& views() const { return views_; }
  [[nodiscard]] const TowerViews<const float>& const_views() const { return const_views_; }
  [[nodiscard]] std::span<float> weights() const { return flat_.span().first(weights_); }
  [[nodiscard]] std::span<float> offsets() const { return flat_.span().subspan(weights_); }  // biases and slopes
  [[nodiscard]] std::span<float> flat() const { return flat_.span(); }

  /// One named part: "ctr.0.weight_common" [Ic, H1], "ctr.0.weight_sample" [Is, H1], "ctr.0.bias", "ctr.0.slope",
  /// "ctr.1.weight" … "ctr.output.weight", "ctr.output.bias"; the same with "cvr.". Column ranges of the shared first
  /// layer are separate parts.
  struct Part {
    std::string name;
    MatrixView<float> values;
    bool is_vector = false;
  };
  [[nodiscard]] const std::vector<Part>& parts() const { return parts_; }

 private:
  Buffer<float> flat_;
  std::size_t weights_ = 0;
  TowerViews<float> views_;
  TowerViews<const float> const_views_;
  std::vector<Part> parts_;
};

/// The trained state of a model: tables and towers. Optimizer state is kept apart (optimizer.hpp), because a finished
/// model does not need it.
class Parameters {
 public:
  Parameters(Memory& memory, const ModelSpec& spec);

  /// Draws the initial values on the host: tables as configured, tower weights He-normal (arXiv:1502.01852), biases 0,
  /// PReLU slopes 0.25. Depends on the seed and each value's place only.
  void initialise(const Config& config, ThreadPool& pool);

  [[nodiscard]] MatrixView<float> tables() const { return {tables_.data(), rows_, dim_, stride_}; }  // [V, D]
  [[nodiscard]] TowerParameters& towers() { return towers_; }
  [[nodiscard]] const TowerParameters& towers() const { return towers_; }
  [[nodiscard]] const ModelSpec& spec() const { return spec_; }
  [[nodiscard]] std::int64_t count() const;

  /// What `model.safetensors` holds: "embedding.<table>" [rows, D], or "embedding.ctr.<table>" and
  /// "embedding.cvr.<table>" where tables are not shared, and the towers' parts, as views. With unshared tables a first
  /// layer has the rows of the other tower's tables as well, all 0.
  [[nodiscard]] std::vector<StridedTensor> tensors() const;
  /// Reads all of them back. Throws Error (data) when one is missing or has another shape.
  void load(const SafetensorsFile& file);

 private:
  void initialise_tables(const Config& config, ThreadPool& pool);
  void initialise_towers(const Config& config);

  Memory* memory_;
  ModelSpec spec_;
  std::int64_t rows_, dim_, stride_;
  Buffer<float> tables_;
  TowerParameters towers_;
};

}  // namespace esmm
