#pragma once
#include "engine/parameters.hpp"
#include "kernels/backend.hpp"

namespace esmm {

/// What a forward pass leaves behind. Grows to the largest batch, then allocates no more.
class Activations {
 public:
  Activations(Memory& memory, const ModelSpec& spec);
  void prepare(const ModelSpec& spec, std::int64_t rows, std::int64_t common_rows);

  [[nodiscard]] MatrixView<float> pooled_common() const { return pooled_common_view_; }  // [U, Fc*D]
  [[nodiscard]] MatrixView<float> pooled_sample() const { return pooled_sample_view_; }  // [B, Fs*D + E]
  [[nodiscard]] MatrixView<float> logits() const { return logits_view_; }                // [B, 2] click, conversion
  [[nodiscard]] TowerWorkspace& towers() { return towers_; }

 private:
  Memory* memory_;
  Buffer<float> pooled_common_, pooled_sample_, logits_;
  MatrixView<float> pooled_common_view_, pooled_sample_view_, logits_view_;
  TowerWorkspace towers_;
};

/// What a backward pass leaves behind: gradients of the towers' parameters and of the pooled embeddings.
class Gradients {
 public:
  Gradients(Memory& memory, const ModelSpec& spec);
  void prepare(const ModelSpec& spec, std::int64_t rows, std::int64_t common_rows);

  [[nodiscard]] MatrixView<float> logits() const { return logits_view_; }                // [B, 2]
  [[nodiscard]] MatrixView<float> pooled_common() const { return pooled_common_view_; }  // [U, Fc*D]
  [[nodiscard]] MatrixView<float> pooled_sample() const { return pooled_sample_view_; }  // [B, Fs*D]
  [[nodiscard]] const TowerParameters& towers() const { return towers_; }

 private:
  Memory* memory_;
  Buffer<float> logits_, pooled_common_, pooled_sample_;
  MatrixView<float> logits_view_, pooled_common_view_, pooled_sample_view_;
  TowerParameters towers_;
};

/// The ESMM network: pooled embeddings → two towers → two logits per impression. Source: arXiv:1804.07931 fig. 2.
class Model {
 public:
  explicit Model(Parameters& parameters) : parameters_(&parameters) {}

  /// Fills activations.logits() [B, 2]. Common rows are pooled and multiplied once, not once per impression.
  void forward(Backend& backend, const BatchView& batch, const Dropout& dropout, Activations& activations) const;
  /// From gradients.logits() [B, 2] to the gradients of tower parameters and pooled embeddings.
  void backward(Backend& backend, const BatchView& batch, const Dropout& dropout, Activations& activations,
                Gradients& gradients) const;

  [[nodiscard]] Parameters& parameters() const { return *parameters_; }
  [[nodiscard]] const ModelSpec& spec() const { return parameters_->spec(); }

 private:
  Parameters* parameters_;
};

}  // namespace esmm
