#include "engine/evaluator.hpp"

#include "engine/batch_feed.hpp"
#include "engine/interrupt.hpp"
#include "kernels/error.hpp"
#include "kernels/nvtx.hpp"

namespace esmm {

namespace {

/// Calls use(host batch, batch, logits [n, 2] of its impressions) for every batch; the last two are in the backend's
/// memory.
template <class Use>
void for_each_batch(Backend& backend, const Model& model, std::shared_ptr<const PackedDataset> dataset,
                    const ScoringOptions& options, const Use& use) {
  LoaderOptions loading;
  loading.batch_size = options.batch_size;
  loading.order = Order::sequential;
  loading.workers = options.workers;
  loading.window_bytes = 64ULL << 20;  // nothing is shuffled: a little ahead is enough
  loading.with_input_index = true;
  loading.with_sample_ids = options.with_sample_ids;
  Loader loader(std::move(dataset), model.spec().inputs, BatchFeed::loader_options(backend, loading));
  BatchFeed feed(backend, loader);
  Activations activations(backend.memory(), model.spec());

  feed.start(0);
  while (const BatchView* batch = feed.next()) {
    if (interrupted()) throw Error(ExitCode::interrupted, "interrupted.");
    model.forward(backend, *batch, Dropout{}, activations);
    use(feed.host(), *batch, activations.logits().top(batch->impressions));
  }
}

/// Hands logits on to a sink, on the host.
class HostLogits {
 public:
  HostLogits(Backend& backend, const ScoreSink& sink) : backend_(backend), sink_(sink) {}

  void give(const HostBatch& batch, MatrixView<const float> logits) {
    if (backend_.memory_is_host()) {
      backend_.synchronise();
      sink_(batch, logits);
      return;
    }
    logits_.resize(static_cast<std::size_t>(logits.rows * logits.stride));
    if (!logits_.empty()) backend_.memory().copy_to_host(logits_.data(), logits.data, logits_.size() * sizeof(float));
    sink_(batch, {logits_.data(), logits.rows, logits.cols, logits.stride});
  }

 private:
  Backend& backend_;
  const ScoreSink& sink_;
  std::vector<float> logits_;
};

}  // namespace

void score(Backend& backend, const Model& model, std::shared_ptr<const PackedDataset> dataset,
           const ScoringOptions& options, const ScoreSink& sink) {
  const NvtxRange range("scoring");
  HostLogits on_host(backend, sink);
  for_each_batch(
      backend, model, std::move(dataset), options,
      [&](const HostBatch& batch, const BatchView&, MatrixView<const float> logits) { on_host.give(batch, logits); });
}

Metrics evaluate(Backend& backend, const Model& model, std::shared_ptr<const PackedDataset> dataset,
                 const ScoringOptions& options, const ScoreSink& sink) {
  const NvtxRange range("evaluation");
  if (!dataset->labelled()) throw data_error("{}: has no labels, so there is nothing to evaluate.", dataset->path());
  MetricsCollector collector(backend, static_cast<std::int64_t>(dataset->statistics().impressions),
                             model.spec().method.read_out);
  HostLogits on_host(backend, sink);
  for_each_batch(backend, model, std::move(dataset), options,
                 [&](const HostBatch& host, const BatchView& batch, MatrixView<const float> logits) {
                   collector.add(logits, batch);
                   if (sink) on_host.give(host, logits);
                 });
  return collector.result();
}

}  // namespace esmm
