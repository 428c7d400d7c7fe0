#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <optional>

#include "engine/cli/pack_progress.hpp"
#include "engine/commands.hpp"
#include "engine/device.hpp"
#include "engine/evaluator.hpp"
#include "engine/interrupt.hpp"
#include "engine/run_model.hpp"
#include "io/file.hpp"
#include "io/parquet.hpp"
#include "io/readers.hpp"
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

  [[nodiscard]] std::size_t size() const { return arrival.size(); }
  [[nodiscard]] std::string_view id(std::size_t i) const { return sample_id[arrival[i]]; }
  [[nodiscard]] Prediction prediction(ReadOut read_out, std::size_t i) const {
    return predict(read_out, logits[2 * i], logits[2 * i + 1]);
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
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    const Prediction p = predictions.prediction(read_out, i);
    // "{}" of a float is the shortest text that reads back as the same float.
    fmt::format_to(std::back_inserter(text), "{},{},{},{}\n", csv_cell(predictions.id(i)), p.pctr, p.pcvr, p.pctcvr);
    if (text.size() > kFlushBytes) flush();
  }
  flush();
}

/// The columns of the CSV. The sample ids are int64 if all of them are whole numbers, else strings.
void write_parquet(const Predictions& predictions, ReadOut read_out, ParquetWriter& out) {
  constexpr std::size_t kRowGroup = 1 << 20;
  constexpr std::uint64_t kTextId = 1ULL << 63;
  bool whole_numbers = true;
  for (std::size_t i = 0; whole_numbers && i < predictions.size(); ++i) {
    whole_numbers = feature_id(predictions.id(i)) < kTextId;
  }
  for (std::size_t begin = 0; begin < predictions.size(); begin += kRowGroup) {
    std::vector<std::int64_t> number;
    StringColumn text;
    std::vector<float> pctr, pcvr, pctcvr;
    for (std::size_t i = begin; i < std::min(begin + kRowGroup, predictions.size()); ++i) {
      if (whole_numbers) {
        number.push_back(static_cast<std::int64_t>(feature_id(predictions.id(i))));
      } else {
        text.push_back(predictions.id(i));
      }
      const Prediction p = predictions.prediction(read_out, i);
      pctr.push_back(p.pctr);
      pcvr.push_back(p.pcvr);
      pctcvr.push_back(p.pctcvr);
    }
    std::vector<ParquetColumn> columns;
    columns.push_back(whole_numbers ? ParquetColumn{"sample_id", std::move(number)}
                                    : ParquetColumn{"sample_id", std::move(text)});
    columns.push_back({"pctr", std::move(pctr)});
    columns.push_back({"pcvr", std::move(pcvr)});
    columns.push_back({"pctcvr", std::move(pctcvr)});
    out.write_row_group(columns);
  }
  out.finish();
}

}  // namespace

void predict_command(const PredictOptions& options) {
  install_interrupt_handlers();
  const std::unique_ptr<Backend> backend = make_backend(options.device, options.threads, options.precision);
  const RunModel run = load_run(*backend, options.run);
  StagedFile out(options.out);  // first: a name that cannot be written must not cost an hour of scoring
  std::optional<ParquetWriter> parquet;
  if (equal_ignoring_case(std::filesystem::path(options.out).extension().string(), ".parquet")) parquet.emplace(out);
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
  const ReadOut read_out = run.model().spec().method.read_out;
  if (parquet) {
    write_parquet(predictions, read_out, *parquet);
  } else {
    write_csv(predictions, read_out, out);
  }
  out.commit();
  spdlog::info("wrote {} predictions to {}", predictions.size(), options.out);
}

}  // namespace esmm
