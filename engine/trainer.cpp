#include "engine/trainer.hpp"

#include "engine/batch_feed.hpp"
#include "kernels/error.hpp"
#include "kernels/nvtx.hpp"

namespace esmm {

Trainer::Trainer(Backend& backend, const Config& config, Parameters& parameters, std::int64_t total_steps)
    : backend_(backend),
      model_(parameters),
      objective_(esmm::objective(config)),
      dropout_rate_(config.dropout),
      seed_(config.seed),
      optimizer_(backend, config, parameters.spec(), total_steps),
      activations_(backend.memory(), parameters.spec()),
      gradients_(backend.memory(), parameters.spec()),
      loss_(backend.memory(), 1),
      losses_(backend.memory(), kMostPendingLosses),
      taken_losses_(kMostPendingLosses) {}

void Trainer::reserve(std::int64_t rows, std::int64_t common_rows) {
  activations_.prepare(model_.spec(), rows, common_rows);
  gradients_.prepare(model_.spec(), rows, common_rows);
}

void Trainer::step(const BatchView& batch) {
  const NvtxRange range("step");
  ++step_;
  reserve(batch.rows(), batch.common_rows());

  replay(backend_, replay_key(batch), [&] {
    optimizer_.sort(backend_, batch);                          // ids only: a device sorts beside the forward pass
    model_.forward(backend_, batch, dropout(), activations_);  // pooled embeddings → towers → two logits per impression
    two_task_loss(backend_, step_objective(), activations_.logits(), batch.click, batch.conversion, batch.impressions,
                  loss_.data(), gradients_.logits());                       // ESMM: pCTR, and the product pCTR × pCVR
    model_.backward(backend_, batch, dropout(), activations_, gradients_);  // towers → pooled embeddings
    optimizer_.apply(backend_, batch, step_, gradients_, loss_.data(), model_.parameters());
  });
  keep_loss();
}

void Trainer::keep_loss() {
  if (pending_losses_ == kMostPendingLosses) throw internal_error("trainer: {} losses were not taken", pending_losses_);
  backend_.copy(losses_.data() + pending_losses_++, loss_.data(), sizeof(StepLosses));
}

std::span<const StepLosses> Trainer::take_losses() {
  const std::span<StepLosses> taken = std::span(taken_losses_).first(static_cast<std::size_t>(pending_losses_));
  losses_.copy_to_host(taken);
  pending_losses_ = 0;
  return taken;
}

Objective Trainer::step_objective() const {
  Objective objective = objective_;
  objective.step = static_cast<std::uint64_t>(step_);
  return objective;
}

Dropout Trainer::dropout() const {
  return {dropout_rate_ > 0, seed_, static_cast<std::uint64_t>(step_)};
}

}  // namespace esmm
