#include "engine/report/page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "engine/config_options.hpp"
#include "engine/metrics_text.hpp"
#include "engine/report/figures.hpp"
#include "engine/report/html.hpp"
#include "engine/report/run_data.hpp"
#include "engine/report/style.hpp"
#include "engine/report/tables.hpp"
#include "io/file.hpp"

namespace esmm {

namespace report {

namespace {

std::string document(const std::string& title, const std::string& body) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n{}"
      "<footer>Written by esmm_gpu " ESMM_VERSION ".</footer>\n</main>\n</body>\n</html>\n",
      escape(title), style(), body);
}

/// A section that is not there without content.
std::string section(const std::string& title, const std::string& lead, const std::string& content) {
  if (content.empty()) return {};
  const std::string paragraph = lead.empty() ? "" : fmt::format("<p>{}</p>\n", escape(lead));
  return fmt::format("<section>\n<h2>{}</h2>\n{}{}</section>\n", escape(title), paragraph, content);
}

std::string header(const std::string& kicker, const std::string& title, const std::string& lead) {
  return fmt::format("<header>\n<p class=\"kicker\">{}</p>\n<h1>{}</h1>\n<p>{}</p>\n</header>\n", escape(kicker),
                     escape(title), escape(lead));
}

std::string notes(const std::vector<std::string>& lines) {
  if (lines.empty()) return {};
  std::string html = "<ul class=\"notes\">\n";
  for (const std::string& line : lines) html += fmt::format("<li>{}</li>\n", escape(line));
  return html + "</ul>\n";
}

// ---- One run --------------------------------------------------------------------------------------------------------

struct Headline {
  std::string name, value, below;
};

std::string headline(const std::vector<Headline>& numbers) {
  std::string html = "<dl class=\"headline\">\n";
  for (const Headline& number : numbers) {
    html += fmt::format("<div><dt>{}</dt><dd>{}</dd><dd>{}</dd></div>\n", escape(number.name), escape(number.value),
                        escape(number.below));
  }
  return html + "</dl>\n";
}

/// The evaluation against a known truth of the model that the run ended with; null when there is none.
const EvaluationRecord* with_truth(const RunData& run) {
  const double steps = number_in(run.summary, "steps").value_or(0);
  const auto found = std::ranges::find_if(run.evaluations, [&](const EvaluationRecord& e) {
    return !e.truth.empty() && static_cast<double>(e.steps) == steps;
  });
  return found == run.evaluations.end() ? nullptr : &*found;
}

std::vector<Headline> headlines(const RunData& run, const Split& split) {
  std::vector<Headline> numbers;
  const auto value = [&](const std::string& name) { return metric_text(split.metrics.value(name)); };
  for (const auto& [key, title] : {std::pair("ctr", "pCTR"), std::pair("cvr", "pCVR"), std::pair("ctcvr", "pCTCVR")}) {
    const std::string name = key;
    numbers.push_back(
        {fmt::format("{} AUC, {}", title, metric_space(name + "_auc")), value(name + "_auc"),
         fmt::format("log loss {}, calibration {}", value(name + "_logloss"), value(name + "_calibration"))});
  }
  if (const EvaluationRecord* truth = with_truth(run)) {
    numbers.push_back(
        {"pCVR AUC, entire space", metric_text(truth->metrics.value("entire_space_cvr_auc")),
         fmt::format("the truth itself: {}", metric_text(truth->metrics.value("bayes_entire_space_cvr_auc")))});
  }
  return numbers;
}

Labelled<Metrics> by_split(const RunData& run) {
  Labelled<Metrics> metrics;
  for (auto split = run.splits.rbegin(); split != run.splits.rend(); ++split) {  // "valid" before "train"
    metrics.emplace_back(split->name, &split->metrics);
  }
  return metrics;
}

std::string quality(const RunData& run) {
  const Split* judged = run.judged();
  if (judged == nullptr) return {};
  std::vector<std::string> lines = metric_warnings(judged->name, judged->metrics);
  if (!run.finished) lines.insert(lines.begin(), fmt::format("Training is {}.", state_text(run)));
  return headline(headlines(run, *judged)) + notes(lines) + metrics_table(by_split(run), /*mark_best=*/false);
}

/// Those of a record that the run's own figures do not show: all, or only the entire space where it was measured on
/// the same impressions with the same result.
Metrics news(const EvaluationRecord& record, const RunData& run) {
  Metrics metrics = record.metrics;
  const Split* judged = run.judged();
  const bool same = judged != nullptr && judged->metrics.impressions == metrics.impressions &&
                    judged->metrics.value("ctcvr_auc") == metrics.value("ctcvr_auc");
  if (same) std::erase_if(metrics.curves, [](const ScoreCurve& curve) { return curve.target != "entire_space_cvr"; });
  return metrics;
}

std::string evaluations(const RunData& run, int& next_figure) {
  std::string html;
  for (const EvaluationRecord& record : run.evaluations) {
    html += fmt::format("<h3>{}</h3>\n<p>The model after {} steps{}.</p>\n", escape(record.data), record.steps,
                        record.truth.empty() ? "" : " against the truth in " + escape(record.truth));
    html += metrics_table({{"value", &record.metrics}}, false);
    const Metrics shown = news(record, run);
    std::vector<Chart> charts = roc_charts({{"", &shown}});
    for (Chart& chart : calibration_charts({{"", &shown}})) charts.push_back(std::move(chart));
    html += figures_html(charts, next_figure);
  }
  return html;
}

std::string run_page(const RunData& run) {
  const auto counted = [&](const char* key) {
    return count(static_cast<std::uint64_t>(std::max(0.0, number_in(run.summary, key).value_or(0)))).text;
  };
  std::string lead = state_text(run);
  if (!run.summary.empty()) {
    lead += fmt::format("; {} epochs, {} steps, {} impressions trained on in {:.1f} s, {} per second",
                        counted("epochs"), counted("steps"), counted("rows"),
                        number_in(run.summary, "train_seconds").value_or(0), counted("samples_per_second"));
  }
  int figure = 1;
  const Labelled<Metrics> splits = by_split(run);
  Labelled<Metrics> judged;
  if (const Split* split = run.judged()) judged.emplace_back("", &split->metrics);
  std::string body = header(fmt::format("{} run", name_of(run.config.model)), run.name, lead);
  const std::string numbers = quality(run);
  body += numbers.empty() ? notes({fmt::format("Training is {}; nothing has been evaluated yet.", state_text(run))})
                          : numbers;
  body += section(
      "Training", "Losses are means over the steps between two logging steps.",
      figures_html(loss_charts({{"", &run.logged}}), figure) + figures_html(metric_charts(run.evaluated), figure));
  body += section("Ranking",
                  "Receiver operating characteristics. The AUCs are exact; “train” scores each impression of the last "
                  "epoch before the step that learns from it.",
                  figures_html(roc_charts(splits), figure));
  body += section("Calibration",
                  "Observed rates against mean predictions, in bins of equally many impressions, with 95\u00A0% Wilson "
                  "intervals. On the diagonal, predictions are right on average.",
                  figures_html(calibration_charts(judged), figure));
  body += section("Evaluations", "What esmm_gpu eval measured of this run.", evaluations(run, figure));
  body += section("Data", "", data_tables(run));
  body += section("Time", "Stages of the process that finished the run.", stage_table(run));
  body +=
      section("Configuration", "As it was resolved; what is not at its default is bold.", config_tables(run.config));
  body += section("Machine", "", machine_table({{"", &run}}));
  return document(run.name + " – esmm_gpu", body);
}

// ---- Several runs ---------------------------------------------------------------------------------------------------

std::string letter(std::size_t i) {
  return i < 26 ? std::string(1, static_cast<char>('A' + i)) : fmt::format("R{}", i + 1);
}

/// Says so where the metrics of runs are not of the same impressions.
std::vector<std::string> comparability(const Labelled<Metrics>& judged, std::size_t runs) {
  std::vector<std::string> lines;
  if (judged.size() < runs)
    lines.emplace_back("Runs that have not been evaluated are left out of metrics and figures.");
  const bool same = std::ranges::all_of(judged, [&](const auto& one) {
    const Metrics &a = *one.second, &b = *judged.front().second;
    return a.impressions == b.impressions && a.clicks == b.clicks && a.conversions == b.conversions;
  });
  if (!same) lines.emplace_back("The runs were evaluated on different impressions: compare their metrics with care.");
  return lines;
}

std::string comparison_page(const std::vector<RunData>& runs) {
  Labelled<RunData> all;
  Labelled<Config> configs;
  Labelled<Histories> logged, evaluated;
  Labelled<Metrics> judged;
  std::string names = "<ul class=\"runs\">\n";
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunData& run = runs[i];
    const std::string label = letter(i);
    all.emplace_back(label, &run);
    configs.emplace_back(label, &run.config);
    logged.emplace_back(label, &run.logged);
    evaluated.emplace_back(label, &run.evaluated);
    if (const Split* split = run.judged()) judged.emplace_back(label, &split->metrics);
    names += fmt::format("<li class=\"c{}\"><b>{}</b>{} <span>{}, {}</span></li>\n", i % 6, label, escape(run.name),
                         name_of(run.config.model), escape(state_text(run)));
  }
  names += "</ul>\n";
  int figure = 1;
  std::string body =
      header("comparison", fmt::format("{} runs", runs.size()),
             "Metrics are those of the validation data where a run has them, else of its training data.");
  body += names + notes(comparability(judged, runs.size()));
  body += section("Quality", "The best value of a row is bold; of a calibration, the one nearest to 1.",
                  judged.empty() ? "" : metrics_table(judged, /*mark_best=*/judged.size() > 1));
  body += section("Training", "",
                  figures_html(loss_charts(logged), figure) + figures_html(compared_metric_charts(evaluated), figure));
  body += section("Ranking", "Receiver operating characteristics; the AUCs are exact.",
                  figures_html(roc_charts(judged), figure));
  body += section("Calibration", "Observed rates against mean predictions, with 95\u00A0% Wilson intervals.",
                  figures_html(calibration_charts(judged), figure));
  body += section("Configuration", "The options in which the runs differ.", config_differences(configs));
  body += section("Training time", "", training_table(all));
  body += section("Machine", "", machine_table(all));
  return document(fmt::format("{} runs – esmm_gpu", runs.size()), body);
}

}  // namespace

}  // namespace report

void write_report(const RunDirectory& run, const std::string& file) {
  write_file(file, report::run_page(report::load_run_data(run)));
}

void write_report(const RunDirectory& run) {
  write_report(run, run.report_path());
}

void write_comparison(const std::vector<RunDirectory>& runs, const std::string& file) {
  std::vector<report::RunData> data;
  for (const RunDirectory& run : runs) data.push_back(report::load_run_data(run));
  write_file(file, report::comparison_page(data));
}

}  // namespace esmm
