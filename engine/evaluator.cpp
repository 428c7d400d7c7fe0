#include "engine/evaluator.hpp"

#include "engine/interrupt.hpp"
#include "kernels/error.hpp"

namespace esmm {

void score(Backend& backend, const Model& model, std::shared_ptr<const PackedDataset> dataset,
           const ScoringOptions& options, const std::function<void(const HostBatch&, MatrixView<const float>)>& sink) {
  LoaderOptions loading;
  loading.batch_size = options.batch_size;
  loading.order = Order::sequential;
  loading.workers = options.workers;
  loading.window_bytes = 64ULL << 20;  // nothing is shuffled: a little ahead is enough
  loading.with_input_index = true;
  loading.with_sample_ids = options.with_sample_ids;
  Loader loader(std::move(dataset), model.spec().inputs, loading);
  Activations activations(backend.memory(), model.spec());

  loader.start(0);
  while (const HostBatch* batch = loader.next()) {
    if (interrupted()) throw Error(ExitCode::interrupted, "interrupted.");
    model.forward(backend, batch->view(), Dropout{}, activations);
    backend.synchronise();
    sink(*batch, activations.logits());
  }
}

Metrics evaluate(Backend& backend, const Model& model, std::shared_ptr<const PackedDataset> dataset,
                 const ScoringOptions& options) {
  if (!dataset->labelled()) throw data_error("{}: has no labels, so there is nothing to evaluate.", dataset->path());
  MetricsCollector collector;
  collector.reserve(static_cast<std::int64_t>(dataset->statistics().impressions));
  score(backend, model, std::move(dataset), options, [&](const HostBatch& batch, MatrixView<const float> logits) {
    collector.add(logits, batch.click, batch.conversion);
  });
  return collector.result(backend);
}

}  // namespace esmm
