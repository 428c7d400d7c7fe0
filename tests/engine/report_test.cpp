// The report of a run: what its page says of the documents in a run directory, which are written here by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/config.hpp"
#include "engine/evaluation_record.hpp"
#include "engine/metrics_text.hpp"
#include "engine/report/axis.hpp"
#include "engine/report/figures.hpp"
#include "engine/report/html.hpp"
#include "engine/report/page.hpp"
#include "kernels/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;
using testing::Not;

std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

Metrics shown_metrics(double shift = 0) {
  Metrics metrics;
  for (std::size_t i = 0; i < metric_names().size(); ++i) {
    metrics.values.emplace_back(metric_names()[i], 0.123456789 + 0.05 * static_cast<double>(i) + shift);
  }
  metrics.impressions = 1234567;
  metrics.clicks = 45678;
  metrics.conversions = 901;
  return metrics;
}

std::vector<ScoreCurve> curves() {
  ScoreHistogram histogram;
  for (int i = 0; i < 2000; ++i) histogram.add(static_cast<float>(i) / 4000.0F, i % 7 == 0 || i > 1500);
  return {histogram.curve("ctr"), histogram.curve("cvr"), histogram.curve("ctcvr")};
}

class Report : public testing::Test {
 protected:
  /// A finished run of three epochs in the test's directory.
  RunDirectory make_run(const std::string& name, const Config& config = {}, double shift = 0) const {
    directory_.write(name + "/config.toml", to_toml(config));
    RunDirectory run = RunDirectory::open(directory_ / name);
    ordered_json lines[] = {
        {{"step", 100}, {"epoch", 0.5}, {"loss", 0.5 + shift}, {"ctr_loss", 0.4}, {"ctcvr_loss", 0.1}},
        {{"step", 200}, {"epoch", 1.0}, {"loss", 0.4 + shift}, {"ctr_loss", 0.3}, {"ctcvr_loss", 0.1}},
        {{"step", 200}, {"split", "valid"}}};
    lines[2].update(metrics_json(shown_metrics(shift)));
    for (const ordered_json& line : lines) run.append_metrics(line.dump());
    run.write_document("summary.json", summary(shift));
    run.write_document("curves.json", {{"train", curves_json(curves())}, {"valid", curves_json(curves())}});
    run.write_document("setup.json", setup("field_7"));
    return run;
  }
  static ordered_json summary(double shift = 0) {
    return {{"model", "esmm"},
            {"epochs", 3},
            {"steps", 200},
            {"rows", 600000},
            {"train_seconds", 2.9},
            {"samples_per_second", 206896.5},
            {"parameters", 250050},
            {"stage_seconds", {{"data", 1.0}, {"training", 3.0}}},
            {"metrics",
             {{"train", metrics_json(shown_metrics(shift + 0.01))}, {"valid", metrics_json(shown_metrics(shift))}}}};
  }
  static ordered_json setup(const std::string& field) {
    ordered_json data{{"impressions", 1234567}, {"clicks", 45678}, {"conversions", 901}};
    data["fields"] = ordered_json::array({{{"name", field},
                                           {"side", "sample"},
                                           {"ids_per_row", 2.25},
                                           {"most_ids", 17},
                                           {"missing_share", 0.25},
                                           {"distinct", 4321},
                                           {"rows", 1001},
                                           {"unknown_share", 0.002}}});
    return {{"program", "esmm_gpu 0.1.0"},
            {"machine", {{"device", "cpu"}, {"processor", "A fast one"}, {"cores", 2}, {"memory_bytes", 16e9}}},
            {"data", {{"train", data}}}};
  }
  [[nodiscard]] std::string page(const RunDirectory& run) const {
    write_report(run);
    return test::read_bytes(run.report_path());
  }
  [[nodiscard]] std::string comparison(const std::vector<RunDirectory>& runs) const {
    write_comparison(runs, directory_ / "comparison.html");
    return test::read_bytes(directory_ / "comparison.html");
  }
  test::TemporaryDirectory directory_;
};

/// Every < begins a tag, every element is closed, in order.
void expect_well_formed(const std::string& html) {
  std::vector<std::string> open;
  const std::string doctype = "<!doctype html>";
  ASSERT_TRUE(html.starts_with(doctype));
  for (std::size_t at = html.find('<', doctype.size()); at != std::string::npos; at = html.find('<', at + 1)) {
    const std::size_t end = html.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = html.substr(at + 1, end - at - 1);
    ASSERT_EQ(tag.find('<'), std::string::npos) << tag;
    ASSERT_EQ(occurrences(tag, "\"") % 2, 0U) << tag;
    const bool closing = tag.starts_with('/');
    const std::string name = tag.substr(closing ? 1 : 0, tag.find(' ') - (closing ? 1 : 0));
    ASSERT_FALSE(name.empty() || name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789/") != std::string::npos)
        << tag;
    if (tag.ends_with('/') || name == "meta") continue;
    if (!closing) {
      open.push_back(name);
      continue;
    }
    ASSERT_FALSE(open.empty()) << tag;
    ASSERT_EQ(open.back(), name);
    open.pop_back();
  }
  EXPECT_TRUE(open.empty());
}

TEST_F(Report, TablesHoldTheMetricsOfTheSummary) {
  const std::string html = page(make_run("run"));
  const ordered_json summarised = summary();
  for (const auto& [split, values] : summarised["metrics"].items()) {
    for (const std::string& name : metric_names()) {
      EXPECT_THAT(html, HasSubstr(fmt::format(">{:.5f}</td>", values[name].get<double>()))) << split << ' ' << name;
    }
  }
  EXPECT_THAT(html, HasSubstr("<dd>0.12346</dd>")) << "the CTR AUC of valid is a headline";
  EXPECT_THAT(html, HasSubstr(">1\u202F234\u202F567</td>"));
  EXPECT_THAT(
      html, HasSubstr("finished; 3 epochs, 200 steps, 600\u202F000 impressions trained on in 2.9 s, 206\u202F896 per"));
  EXPECT_THAT(html, HasSubstr("<code>field_7</code>"));
  EXPECT_THAT(html, HasSubstr("75.0 %")) << "rows with ids";
  EXPECT_THAT(html, HasSubstr("A fast one"));
  EXPECT_THAT(html, HasSubstr("25.0 %")) << "share of a stage";
}

TEST_F(Report, HasAFigureWithTitleDescriptionAndDataForEverythingThatWasRecorded) {
  const std::string html = page(make_run("run"));
  // Loss, CTR loss and CTCVR loss; AUC, log loss and calibration; three ROCs; three reliability diagrams.
  EXPECT_EQ(occurrences(html, "<svg"), 12U);
  for (const char* part : {"<figure>", "role=\"img\"", "<desc id=", "<details><summary>Data</summary>"}) {
    EXPECT_EQ(occurrences(html, part), 12U) << part;
  }
  for (int i = 1; i <= 12; ++i) EXPECT_EQ(occurrences(html, fmt::format("id=\"figure-{}-title\"", i)), 1U);
  expect_well_formed(html);
}

TEST_F(Report, NeedsNothingFromOutsideAndRunsNothing) {
  const std::string html = page(make_run("run"));
  for (const char* part : {"http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link", "<iframe"}) {
    EXPECT_THAT(html, Not(HasSubstr(part)));
  }
}

TEST_F(Report, TextOfUsersIsNeverMarkup) {
  const std::string hostile = "<script>alert('&\"')</script>";
  Config config;
  config.data = hostile;
  config.fields[hostile].clip = 3.0F;
  const RunDirectory run = make_run("a<b>&'\"", config);
  run.write_document("setup.json", setup(hostile));
  EvaluationRecord record{hostile, hostile, 200, shown_metrics()};
  record.metrics.values.emplace_back(hostile, 0.5);
  save_evaluation(run, record);
  run.append_metrics(ordered_json{{"step", 200}, {hostile, 1.0}}.dump());
  for (const std::string& html : {page(run), comparison({run, make_run("other")})}) {
    EXPECT_THAT(html, Not(HasSubstr("<script")));
    EXPECT_THAT(html, HasSubstr("a&lt;b&gt;&amp;&#39;&quot;"));
    expect_well_formed(html);
  }
  EXPECT_THAT(page(run), HasSubstr("<code>&lt;script&gt;alert(&#39;&amp;&quot;&#39;)&lt;/script&gt;</code>"));
  EXPECT_EQ(report::escape(std::string("a\0b\x1b\n", 5)), "a\uFFFDb\uFFFD\n");
}

TEST_F(Report, AMetricWithoutValueIsUndefinedAndItsFigureIsLeftOut) {
  const RunDirectory run = make_run("run");
  ordered_json lacking = summary();
  lacking["metrics"]["valid"]["cvr_auc"] = nullptr;
  run.write_document("summary.json", lacking);
  ScoreHistogram clicks;  // none converts
  for (int i = 0; i < 500; ++i) clicks.add(0.01F * static_cast<float>(i % 50), false);
  std::vector<ScoreCurve> some = curves();
  some[1] = clicks.curve("cvr");
  run.write_document("curves.json", {{"valid", curves_json(some)}});
  const std::string html = page(run);
  EXPECT_THAT(html, HasSubstr("<dd>undefined</dd>"));
  EXPECT_THAT(html, HasSubstr("<td class=\"n\">undefined</td>"));
  EXPECT_THAT(html, HasSubstr("cvr_auc of valid is undefined"));
  EXPECT_EQ(occurrences(html, "Receiver operating characteristic of"), 2U);
  EXPECT_EQ(occurrences(html, ">Reliability of"), 3U);
  for (const char* part : {"nan", ">inf<", ">-inf<", "inf "}) EXPECT_THAT(html, Not(HasSubstr(part)));
}

TEST_F(Report, OfARunThatHasNotFinishedShowsWhatThereIs) {
  const RunDirectory run = make_run("run");
  for (const char* name : {"summary.json", "curves.json", "setup.json"})
    std::filesystem::remove(run.path() + "/" + name);
  run.append_metrics(R"({"step": 300, "loss": 0.3)");  // torn by a crash
  const std::string html = page(run);
  EXPECT_THAT(html, HasSubstr("not finished, last logged step 200"));
  EXPECT_THAT(html, HasSubstr("<dd>0.12346</dd>")) << "the last evaluation";
  EXPECT_EQ(occurrences(html, "<svg"), 6U);
  std::filesystem::remove(run.path() + "/metrics.jsonl");
  EXPECT_THAT(page(run), HasSubstr("nothing has been evaluated yet"));
  expect_well_formed(page(run));
}

TEST_F(Report, SaysThatAFinishedRunIsBeingContinued) {
  const RunDirectory run = make_run("run");
  run.append_metrics(R"({"step": 300, "epoch": 1.5, "loss": 0.3})");
  EXPECT_THAT(page(run), HasSubstr("not finished, last logged step 300"));
}

TEST_F(Report, OfTheSameRunHasTheSameBytesHoweverItsPathIsWritten) {
  const RunDirectory run = make_run("run");
  const std::string html = page(run);
  EXPECT_EQ(page(run), html);
  EXPECT_EQ(page(RunDirectory::open(directory_ / "run/")), html);
  EXPECT_EQ(page(RunDirectory::open(directory_ / "run/../run/.")), html);
}

TEST_F(Report, ShowsTheEntireSpaceWhereTheTruthWasGiven) {
  const RunDirectory run = make_run("run");
  EvaluationRecord record{"/data/log", "/data/log/truth_test.csv", 200, shown_metrics()};
  record.metrics.values.emplace_back("entire_space_cvr_auc", 0.66759);
  record.metrics.values.emplace_back("bayes_entire_space_cvr_auc", 0.77772);
  record.metrics.curves = curves();
  record.metrics.curves.push_back(curves()[0]);
  record.metrics.curves.back().target = "entire_space_cvr";
  save_evaluation(run, record);
  ASSERT_EQ(load_evaluations(run).size(), 1U);
  EXPECT_EQ(load_evaluations(run)[0].metrics.values, record.metrics.values);
  const std::string html = page(run);
  EXPECT_THAT(html, HasSubstr("pCVR AUC, entire space</dt><dd>0.66759</dd><dd>the truth itself: 0.77772</dd>"));
  EXPECT_EQ(occurrences(html, "<svg"), 14U) << "a ROC and a reliability diagram more: the others are those of valid";
  record.metrics.impressions = 5;  // another set of impressions
  save_evaluation(run, record);
  EXPECT_EQ(load_evaluations(run).size(), 1U) << "the newest of the same data and truth";
  EXPECT_EQ(occurrences(page(run), "<svg"), 20U);
}

TEST_F(Report, ComparesMetricsCurvesAndTheOptionsThatDiffer) {
  Config config;
  config.lr = 0.25F;
  config.out = "b";
  const std::string html = comparison({make_run("a"), make_run("b", config, -0.05), make_run("c")});
  EXPECT_THAT(html, HasSubstr("<b>A</b>a "));
  EXPECT_THAT(html, HasSubstr("<b>B</b>b "));
  // An AUC is best when it is large, a log loss when it is small.
  EXPECT_THAT(html,
              HasSubstr("<code>ctr_auc</code></th><td>all impressions</td><td class=\"n\"><strong>0.12346</strong>"
                        "</td><td class=\"n\">0.07346</td>"));
  EXPECT_THAT(html, HasSubstr("<code>ctr_logloss</code></th><td>all impressions</td><td class=\"n\">0.27346</td>"
                              "<td class=\"n\"><strong>0.22346</strong></td>"));
  EXPECT_THAT(html, HasSubstr("<code>lr</code></th><td><code>0.001</code></td><td><code>0.25</code></td>"));
  EXPECT_THAT(html, Not(HasSubstr("<code>batch_size</code>"))) << "equal in all";
  EXPECT_THAT(html, Not(HasSubstr("<code>out</code>")));
  EXPECT_EQ(occurrences(html, "<svg"), 12U);
  EXPECT_EQ(occurrences(html, "\"end\">B  AUC 0.0735<"), 1U) << "each ROC has a labelled line per run";
  EXPECT_THAT(html, Not(HasSubstr("different impressions")));
  expect_well_formed(html);
}

TEST_F(Report, ComparisonWarnsOfDifferentImpressionsAndOfRunsWithoutEvaluation) {
  const RunDirectory a = make_run("a"), b = make_run("b"), c = make_run("c");
  ordered_json other = summary();
  other["metrics"]["valid"]["impressions"] = 5;
  b.write_document("summary.json", other);
  for (const char* name : {"summary.json", "metrics.jsonl"}) std::filesystem::remove(c.path() + "/" + name);
  const std::string html = comparison({a, b, c});
  EXPECT_THAT(html, HasSubstr("evaluated on different impressions"));
  EXPECT_THAT(html, HasSubstr("Runs that have not been evaluated are left out"));
  EXPECT_THAT(comparison({a, make_run("d")}), HasSubstr("The configurations are equal."));
}

TEST_F(Report, ADocumentThatNoRunWritesIsADataError) {
  for (const char* name : {"summary.json", "curves.json", "setup.json"}) {
    const RunDirectory run = make_run("run");
    directory_.write(std::string("run/") + name, "[1");
    try {
      write_report(run);
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      EXPECT_THAT(error.what(), HasSubstr(name));
    }
    std::filesystem::remove_all(run.path());
  }
  const RunDirectory run = make_run("run");
  run.write_document("summary.json", {{"metrics", {{"valid", {{"ctr_auc", "high"}}}}}});
  EXPECT_THROW(write_report(run), Error);
  run.write_document("summary.json", {{"metrics", 7}, {"steps", "many"}, {"stage_seconds", {{"data", "long"}}}});
  EXPECT_THAT(page(run), HasSubstr("not finished")) << "what is merely not there is left out";
}

// ---- Parts ----------------------------------------------------------------------------------------------------------

TEST(ReportAxis, CoversItsRangeWithRoundSteps) {
  struct Case {
    double low, high;
    std::vector<std::string> labels;
  };
  for (const Case& c : {Case{0, 600, {"0", "200", "400", "600"}}, Case{0.31, 0.64, {"0.3", "0.4", "0.5", "0.6", "0.7"}},
                        Case{0, 25000, {"0", "10\u202Fk", "20\u202Fk", "30\u202Fk"}},
                        Case{0, 0.0003, {"0.0000", "0.0001", "0.0002", "0.0003"}}}) {
    const report::Axis axis = report::Axis::covering(c.low, c.high);
    std::vector<std::string> labels;
    for (const double tick : axis.ticks()) labels.push_back(axis.label(tick));
    EXPECT_EQ(labels, c.labels) << c.low << " to " << c.high;
    EXPECT_LE(axis.low, c.low);
    EXPECT_GE(axis.high, c.high - 1e-9);
  }
  EXPECT_GT(report::Axis::covering(3, 3).high, report::Axis::covering(3, 3).low) << "an empty range is widened";
}

TEST(ReportFigures, WilsonIntervalsAreThoseOfTheTextbook) {
  // 81 of 263: Newcombe 1998, table I.
  const auto [low, high] = report::wilson_interval(81, 263);
  EXPECT_NEAR(low, 0.2553, 5e-5);
  EXPECT_NEAR(high, 0.3662, 5e-5);
  EXPECT_DOUBLE_EQ(report::wilson_interval(0, 20).first, 0.0);
  EXPECT_NEAR(report::wilson_interval(0, 20).second, 0.1611, 5e-5);
}

TEST(ReportFigures, ManyLoggingStepsAreAveragedInBlocks) {
  report::Histories histories;
  for (int i = 1; i <= 2000; ++i) histories["loss"].push_back({static_cast<double>(i), i % 2 == 0 ? 1.0 : 0.0});
  const std::vector<report::Chart> charts = report::loss_charts({{"", &histories}});
  const std::vector<report::Point>& points = charts[0].series[0].points;
  ASSERT_EQ(points.size(), 500U);
  EXPECT_EQ(points.back().x, 2000);
  for (const report::Point& point : points) EXPECT_DOUBLE_EQ(point.y, 0.5);
}

}  // namespace
}  // namespace esmm
