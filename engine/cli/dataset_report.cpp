#include "engine/cli/dataset_report.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/cli/text_table.hpp"
#include "engine/config_options.hpp"

namespace esmm {

namespace {

using nlohmann::ordered_json;

double ratio(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

/// One field's statistics with what they are relative to.
struct FieldReport {
  const Field& field;
  const DatasetStatistics::FieldStatistics& statistics;
  const Vocabulary::Table& table;
  std::uint64_t rows;  // impressions, or common rows
};

std::vector<FieldReport> field_reports(const PackedDataset& dataset, const Vocabulary& vocabulary) {
  const DatasetStatistics& all = dataset.statistics();
  std::vector<FieldReport> reports;
  for (std::size_t f = 0; f < dataset.schema().fields.size(); ++f) {
    const Field& field = dataset.schema().fields[f];
    const auto table = static_cast<std::size_t>(vocabulary.find_table(field.table));
    reports.push_back({field, all.fields[f], vocabulary.tables()[table],
                       field.side == Side::sample ? all.impressions : all.common_rows});
  }
  return reports;
}

ordered_json bad_rows_json(const DatasetStatistics& statistics) {
  ordered_json json = ordered_json::object();
  for (std::size_t kind = 0; kind < statistics.bad_rows.size(); ++kind) {
    json[std::string(name(static_cast<BadRowKind>(kind)))] = statistics.bad_rows[kind];
  }
  return json;
}

std::string bad_rows_text(const DatasetStatistics& statistics) {
  std::uint64_t total = 0;
  std::string kinds;
  for (std::size_t kind = 0; kind < statistics.bad_rows.size(); ++kind) {
    const std::uint64_t count = statistics.bad_rows[kind];
    total += count;
    if (count > 0)
      kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", name(static_cast<BadRowKind>(kind)), count);
  }
  return total == 0 ? "0" : fmt::format("{} skipped ({})", total, kinds);
}

std::string fields_text(const PackedDataset& dataset, const Vocabulary& vocabulary) {
  TextTable table({"field", "side", "ids/impression", "most", "missing", "distinct", "kept", "unknown"}, 2);
  const DatasetStatistics& all = dataset.statistics();
  for (const FieldReport& r : field_reports(dataset, vocabulary)) {
    const bool hashed = r.table.encoding == Encoding::hash;
    table.add({r.field.name, r.field.side == Side::sample ? "sample" : "common",
               fmt::format("{:.2f}", ratio(r.statistics.impression_ids, all.impressions)),
               std::to_string(r.statistics.most_ids), percent(r.statistics.missing_rows, r.rows),
               std::to_string(r.table.distinct_seen), hashed ? "hashed" : std::to_string(r.table.rows - 1),
               percent(r.statistics.out_of_vocabulary, r.statistics.ids)});
  }
  return table.str();
}

std::string dense_text(const PackedDataset& dataset) {
  TextTable table({"dense column", "mean", "std", "min", "max", "missing"});
  const DatasetStatistics& all = dataset.statistics();
  for (std::size_t e = 0; e < all.dense.size(); ++e) {
    const auto& d = all.dense[e];
    table.add({dataset.schema().dense[e], fmt::format("{:.4g}", d.mean), fmt::format("{:.4g}", d.std),
               fmt::format("{:.4g}", d.min), fmt::format("{:.4g}", d.max), percent(d.missing, all.impressions)});
  }
  return table.str();
}

}  // namespace

ordered_json dataset_json(const PackedDataset& dataset) {
  const DatasetStatistics& s = dataset.statistics();
  const std::shared_ptr<const Vocabulary> vocabulary = dataset.vocabulary();
  ordered_json json{{"path", dataset.path()},
                    {"labelled", dataset.labelled()},
                    {"impressions", s.impressions},
                    {"common_rows", s.common_rows},
                    {"clicks", s.clicks},
                    {"conversions", s.conversions},
                    {"click_rate", ratio(s.clicks, s.impressions)},
                    {"conversion_rate_of_clicks", ratio(s.conversions, s.clicks)},
                    {"conversion_rate_of_impressions", ratio(s.conversions, s.impressions)},
                    {"contradictions", s.contradictions},
                    {"contradictions_dropped", s.contradictions_dropped},
                    {"bad_rows", bad_rows_json(s)},
                    {"text_bytes", s.text_bytes},
                    {"packed_bytes", s.packed_bytes},
                    {"vocabulary", dataset.vocabulary_hash()}};
  json["fields"] = ordered_json::array();
  for (const FieldReport& r : field_reports(dataset, *vocabulary)) {
    json["fields"].push_back({{"name", r.field.name},
                              {"side", r.field.side == Side::sample ? "sample" : "common"},
                              {"table", r.field.table},
                              {"ids", r.statistics.ids},
                              {"ids_per_row", ratio(r.statistics.ids, r.rows)},
                              {"ids_per_impression", ratio(r.statistics.impression_ids, s.impressions)},
                              {"most_ids", r.statistics.most_ids},
                              {"missing_share", ratio(r.statistics.missing_rows, r.rows)},
                              {"distinct", r.table.distinct_seen},
                              {"rows", r.table.rows},
                              {"unknown_share", ratio(r.statistics.out_of_vocabulary, r.statistics.ids)},
                              {"value_min", r.statistics.value_min},
                              {"value_max", r.statistics.value_max}});
  }
  json["dense"] = ordered_json::array();
  for (std::size_t e = 0; e < s.dense.size(); ++e) {
    json["dense"].push_back({{"name", dataset.schema().dense[e]},
                             {"mean", s.dense[e].mean},
                             {"std", s.dense[e].std},
                             {"min", s.dense[e].min},
                             {"max", s.dense[e].max},
                             {"missing_share", ratio(s.dense[e].missing, s.impressions)}});
  }
  return json;
}

std::string dataset_text(const PackedDataset& dataset) {
  const DatasetStatistics& s = dataset.statistics();
  const std::shared_ptr<const Vocabulary> vocabulary = dataset.vocabulary();
  std::string text = fmt::format("{}\n", dataset.path());
  const auto line = [&](const char* what, const std::string& value) {
    text += fmt::format("  {:<16}{}\n", what, value);
  };
  line("impressions", fmt::format("{}{}", s.impressions, dataset.labelled() ? "" : " (no labels)"));
  if (s.common_rows > 0 && dataset.schema().count(Side::common) > 0) {
    line("common rows",
         fmt::format("{} ({:.1f} impressions each)", s.common_rows, ratio(s.impressions, s.common_rows)));
  }
  if (dataset.labelled()) {
    line("clicks", fmt::format("{} ({} of impressions)", s.clicks, percent(s.clicks, s.impressions)));
    line("conversions", fmt::format("{} ({} of clicks, {} of impressions)", s.conversions,
                                    percent(s.conversions, s.clicks), percent(s.conversions, s.impressions)));
    line("contradictions",
         fmt::format("{} conversions without click, {} dropped", s.contradictions, s.contradictions_dropped));
  }
  line("bad rows", bad_rows_text(s));
  line("size", fmt::format("{} of text, {} packed (1/{:.1f})", byte_size(s.text_bytes), byte_size(s.packed_bytes),
                           ratio(s.text_bytes, s.packed_bytes)));
  line("vocabulary", fmt::format("{}, min count {}", dataset.vocabulary_hash(), vocabulary->min_count()));
  if (!s.fields.empty()) text += fmt::format("\n{}", fields_text(dataset, *vocabulary));
  if (!s.dense.empty()) text += fmt::format("\n{}", dense_text(dataset));
  return text;
}

std::vector<std::string> dataset_warnings(const PackedDataset& dataset, const std::vector<Leak>& leaks) {
  std::vector<std::string> warnings;
  for (const Leak& leak : leaks) {
    warnings.push_back(
        fmt::format("{}: feature {} alone tells the {} (AUC {:.3f}): probably a leak. Leave it out, unless it is known "
                    "before the impression.",
                    dataset.path(), leak.feature, leak.target, leak.auc));
  }
  const DatasetStatistics& s = dataset.statistics();
  if (const std::uint64_t kept = s.contradictions - s.contradictions_dropped; kept > 0) {
    warnings.push_back(fmt::format(
        "{}: {} impressions convert without a click. Pack again with --on-contradiction drop.", dataset.path(), kept));
  }
  return warnings;
}

ordered_json vocabulary_json(const Vocabulary& vocabulary) {
  ordered_json json{{"hash", vocabulary.hash()}, {"min_count", vocabulary.min_count()}};
  json["tables"] = ordered_json::array();
  for (const Vocabulary::Table& table : vocabulary.tables()) {
    json["tables"].push_back({{"name", table.name},
                              {"encoding", name_of(table.encoding)},
                              {"rows", table.rows},
                              {"distinct", table.distinct_seen}});
  }
  return json;
}

std::string vocabulary_text(const Vocabulary& vocabulary) {
  TextTable table({"table", "encoding", "distinct", "rows"}, 2);
  std::uint64_t rows = 0;
  for (const Vocabulary::Table& t : vocabulary.tables()) {
    table.add({t.name, std::string(name_of(t.encoding)), std::to_string(t.distinct_seen), std::to_string(t.rows)});
    rows += t.rows;
  }
  return fmt::format("vocabulary {}, min count {}, {} embedding rows\n\n{}", vocabulary.hash(), vocabulary.min_count(),
                     rows, table.str());
}

}  // namespace esmm
