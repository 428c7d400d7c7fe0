#include "engine/trainer.hpp"

namespace esmm {

Trainer::Trainer(Backend& backend, const Config& config, Parameters& parameters, std::int64_t total_steps)
    : backend_(backend),
      model_(parameters),
      objective_{config.ctr_weight, config.ctcvr_weight},
      dropout_rate_(config.dropout),
      seed_(config.seed),
      optimizer_(backend, config, parameters.spec(), total_steps),
      activations_(backend.memory(), parameters.spec()),
      gradients_(backend.memory(), parameters.spec()) {}

void Trainer::step(const BatchView& batch) {
  ++step_;
  gradients_.prepare(model_.spec(), batch.rows(), batch.common_rows());

  model_.forward(backend_, batch, dropout(), activations_);  // pooled embeddings → towers → two logits per impression
  two_task_loss(backend_, objective_, activations_.logits(), batch.click, batch.conversion, batch.impressions, &losses_,
                gradients_.logits());                                     // ESMM: pCTR, and the product pCTR × pCVR
  model_.backward(backend_, batch, dropout(), activations_, gradients_);  // towers → pooled embeddings
  optimizer_.apply(backend_, batch, step_, gradients_, model_.parameters());
}

Dropout Trainer::dropout() const {
  return {dropout_rate_ > 0, seed_, static_cast<std::uint64_t>(step_)};
}

}  // namespace esmm
