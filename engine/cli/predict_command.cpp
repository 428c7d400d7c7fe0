#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <numeric>

#include "engine/cli/pack_progress.hpp"
#include "engine/commands.hpp"
#include "engine/device.hpp"
#include "engine/evaluator.hpp"
#include "engine/interrupt.hpp"
#include "engine/run_model.hpp"
#include "io/file.hpp"
#include "kernels/read_out.hpp"

namespace esmm {

namespace {

/// Predictions in the order of the input: batches arrive in storage order and say where they belong.
struct Predictions {
  explicit Predictions(std::size_t impressions) : logits(2 * impressions), arrival(impressions) {}

  void add(const HostBatch& batch, MatrixView<const float> batch_logits) {
    for (std::int64_t r = 0; r < batch_logits.rows; ++r) {
      const auto place = static_cast<std::size_t>(batch.input_index[static_cast<std::size_t>(r)]);
      logits[2 * place] = batch_logits(r, 0);
      logits[2 * place + 1] = batch_logits(r, 1);
      arrival[place] = sample_id.size();
      sample_id.push_back(batch.sample_id[static_cast<std::size_t>(r)]);
    }
  }

  std::vector<float> logits;           // [n, 2]
  std::vector<std::uint64_t> arrival;  // [n] index into sample_id
  StringColumn sample_id;
};

/// RFC 4180: a cell with a comma, a quote or a line break is quoted, quotes are doubled.
std::string csv_cell(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string cell = "\"";
  for (const char c : text) cell += c == '"' ? std::string("\"\"") : std::string(1, c);
  return cell + "\"";
}

void write_csv(const Predictions& predictions, ReadOut read_out, StagedFile& out) {
  constexpr std::size_t kFlushBytes = 1 << 20;
  fmt::memory_buffer text;
  const auto flush = [&] {
    out.append(std::as_bytes(std::span(text.data(), text.size())));
    text.clear();
  };
  fmt::format_to(std::back_inserter(text), "sample_id,pctr,pcvr,pctcvr\n");
  for (std::size_t i = 0; i < predictions.arrival.size(); ++i) {
    const Prediction p = predict(read_out, predictions.logits[2 * i], predictions.logits[2 * i + 1]);
    // "{}" of a float is the shortest text that reads back as the same float.
    fmt::format_to(std::back_inserter(text), "{},{},{},{}\n", csv_cell(predictions.sample_id[predictions.arrival[i]]),
                   p.pctr, p.pcvr, p.pctcvr);
    if (text.size() > kFlushBytes) flush();
  }
  flush();
  out.commit();
}

}  // namespace

void predict_command(const PredictOptions& options) {
  install_interrupt_handlers();
  const std::unique_ptr<Backend> backend = make_backend(options.device, options.threads, options.precision);
  const RunModel run = load_run(*backend, options.run);
  StagedFile out(options.out);  // first: a name that cannot be written must not cost an hour of scoring
  DatasetRequest request = request_for_run(run, options.data);
  request.labels_required = false;
  request.pack.on_bad_row = options.on_bad_row;
  request.pack.on_contradiction = OnContradiction::keep;  // predict never drops a row
  request.pack.threads = options.threads;
  request.before_packing = show_pack_progress;
  const std::shared_ptr<const PackedDataset> dataset = open_dataset(request);
  const DatasetStatistics& statistics = dataset->statistics();
  const std::uint64_t lacking =
      std::accumulate(statistics.bad_rows.begin(), statistics.bad_rows.end(), statistics.contradictions_dropped);
  if (lacking > 0) spdlog::warn("{}: {} rows of the log are not in it and get no prediction", options.data, lacking);
  Predictions predictions(dataset->statistics().impressions);
  ScoringOptions scoring;
  scoring.with_sample_ids = true;
  score(*backend, run.model(), dataset, scoring,
        [&](const HostBatch& batch, MatrixView<const float> logits) { predictions.add(batch, logits); });
  write_csv(predictions, run.model().spec().method.read_out, out);
  spdlog::info("wrote {} predictions to {}", predictions.arrival.size(), options.out);
}

}  // namespace esmm
