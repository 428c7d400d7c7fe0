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

/// Runs the model forward over a dataset, batch by batch in storage order, without dropout; `sink` gets each batch with
/// its logits [B, 2] on the host. Impressions say their place in the input through HostBatch::input_index.
void score(Backend& backend, const Model& model, std::shared_ptr<const PackedDataset> dataset,
           const ScoringOptions& options, const std::function<void(const HostBatch&, MatrixView<const float>)>& sink);

/// All metrics of a labelled dataset.
[[nodiscard]] Metrics evaluate(Backend& backend, const Model& model, std::shared_ptr<const PackedDataset> dataset,
                               const ScoringOptions& options);

}  // namespace esmm
