#include <spdlog/spdlog.h>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/cli/pack_progress.hpp"
#include "engine/cli/result.hpp"
#include "engine/commands.hpp"
#include "engine/device.hpp"
#include "engine/evaluation_record.hpp"
#include "engine/evaluator.hpp"
#include "engine/interrupt.hpp"
#include "engine/metrics_text.hpp"
#include "engine/run_model.hpp"
#include "engine/truth.hpp"
#include "kernels/error.hpp"
#include "kernels/read_out.hpp"

namespace esmm {

namespace {

/// Collects what can only be measured against a known world: the entire-space CVR AUC, and the AUCs that the true
/// probabilities themselves reach (Bayes), which no model can pass but by chance.
class TruthCollector {
 public:
  TruthCollector(const Truth& truth, const std::string& path, ReadOut read_out)
      : truth_(truth), path_(path), read_out_(read_out) {}

  void add(const HostBatch& batch, MatrixView<const float> logits) {
    for (std::int64_t r = 0; r < logits.rows; ++r) {
      const auto i = static_cast<std::size_t>(r);
      const std::string id(batch.sample_id[i]);
      const auto found = truth_.find(id);
      if (found == truth_.end())
        throw data_error("{}: has no row for sample_id {}. Is it this log's truth?", path_, id);
      const TruthRow& row = found->second;
      pcvr_.push_back(predict(read_out_, logits(r, 0), logits(r, 1)).pcvr);
      histogram_.add(pcvr_.back(), row.conversion_if_clicked);
      if_clicked_.push_back(row.conversion_if_clicked ? 1 : 0);
      true_pctr_.push_back(row.pctr);
      true_pcvr_.push_back(row.pcvr);
      true_pctcvr_.push_back(row.pctr * row.pcvr);
      click_.push_back(batch.click[i]);
      converted_.push_back(batch.click[i] & batch.conversion[i]);
      if (batch.click[i] == 0) continue;
      clicked_pcvr_.push_back(row.pcvr);
      clicked_conversion_.push_back(batch.conversion[i]);
    }
  }

  void finish(Backend& backend, Metrics& metrics) const {
    const auto add = [&](const char* name, const std::vector<float>& scores, const std::vector<std::uint8_t>& labels) {
      const auto size = static_cast<std::int64_t>(scores.size());
      Buffer<float> on_scores(backend.memory(), size);
      Buffer<std::uint8_t> on_labels(backend.memory(), size);
      on_scores.copy_from_host(scores);
      on_labels.copy_from_host(labels);
      metrics.values.emplace_back(name, auc(backend, on_scores.span(), on_labels.span()));
    };
    add("entire_space_cvr_auc", pcvr_, if_clicked_);
    add("bayes_ctr_auc", true_pctr_, click_);
    add("bayes_cvr_auc", clicked_pcvr_, clicked_conversion_);
    add("bayes_ctcvr_auc", true_pctcvr_, converted_);
    add("bayes_entire_space_cvr_auc", true_pcvr_, if_clicked_);
    metrics.curves.push_back(histogram_.curve("entire_space_cvr"));
  }

 private:
  const Truth& truth_;
  std::string path_;
  ReadOut read_out_;
  ScoreHistogram histogram_;  // pCVR against conversion_if_clicked, all impressions
  std::vector<float> pcvr_, true_pctr_, true_pcvr_, true_pctcvr_, clicked_pcvr_;
  std::vector<std::uint8_t> if_clicked_, click_, converted_, clicked_conversion_;
};

Metrics evaluate_with_truth(Backend& backend, const Model& model, std::shared_ptr<const PackedDataset> dataset,
                            const std::string& truth_path) {
  const Truth truth = load_truth(truth_path);
  TruthCollector against_truth(truth, truth_path, model.spec().method.read_out);
  ScoringOptions options;
  options.with_sample_ids = true;
  Metrics metrics =
      evaluate(backend, model, std::move(dataset), options,
               [&](const HostBatch& batch, MatrixView<const float> logits) { against_truth.add(batch, logits); });
  against_truth.finish(backend, metrics);
  return metrics;
}

/// Keeps the result with the run, for its report. A run that cannot be written to can still be evaluated.
void record(const RunDirectory& run, const std::string& data, const std::string& truth, const Metrics& metrics) {
  const auto absolute = [](const std::string& path) {
    return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
  };
  try {
    save_evaluation(run, {absolute(data), absolute(truth), run.finished_steps().value_or(0), metrics});
  } catch (const Error& error) {
    spdlog::warn("the result is not kept with the run: {}", error.what());
  }
}

}  // namespace

void eval_command(const EvalOptions& options) {
  install_interrupt_handlers();
  const std::unique_ptr<Backend> backend = make_backend(options.device, options.threads, options.precision);
  const RunModel run = load_run(*backend, options.run);
  DatasetRequest request = request_for_run(run, options.data);
  request.pack.on_bad_row = options.on_bad_row;
  request.pack.on_contradiction = options.on_contradiction;
  request.pack.threads = options.threads;
  request.before_packing = show_pack_progress;
  const std::shared_ptr<const PackedDataset> dataset = open_dataset(request);
  if (!dataset->labelled()) {
    throw data_error("{}: has no labels, so there is nothing to evaluate. Use esmm_gpu predict.", options.data);
  }
  const Metrics metrics = options.truth.empty() ? evaluate(*backend, run.model(), dataset, {})
                                                : evaluate_with_truth(*backend, run.model(), dataset, options.truth);
  for (const std::string& warning : metric_warnings(options.data, metrics)) spdlog::warn("{}", warning);
  record(run.directory, options.data, options.truth, metrics);
  print_result({metrics_table({{"value", metrics}}), metrics_json(metrics)}, options.json);
}

}  // namespace esmm
