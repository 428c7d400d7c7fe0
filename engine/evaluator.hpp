#pragma once
#include <functional>
#include <memory>

#include "engine/metrics.hpp"
#include "engine/model.hpp"
#include "io/loader.hpp"
#include "io/packed.hpp"

namespace esmm {

struct ScoringOptions {
  std::int64_t batch_size = 4096;
  int workers = 1;
  bool with_sample_ids = false;
};

/// Gets a batch with its logits [B, 2] on the host. Impressions say their place in the input through
/// HostBatch::input_index.
using ScoreSink = std::function<void(const HostBatch&, MatrixView<const float>)>;

/// Runs the model forward over a dataset, batch by batch in storage order, without dropout; `sink` gets each batch.
void score(Backend& backend, const Model& model, std::shared_ptr<const PackedDataset> dataset,
           const ScoringOptions& options, const ScoreSink& sink);

/// All metrics of a labelled dataset, whose logits stay in the backend's memory. `sink`, if any, gets each batch as
/// well.
[[nodiscard]] Metrics evaluate(Backend& backend, const Model& model, std::shared_ptr<const PackedDataset> dataset,
                               const ScoringOptions& options, const ScoreSink& sink = {});

}  // namespace esmm
