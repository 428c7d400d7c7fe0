#include "engine/score_curves.hpp"

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>

#include "kernels/error.hpp"

namespace esmm {

namespace {

constexpr std::uint64_t kRocSteps = 500;           // along each axis
constexpr std::uint64_t kCalibrationBins = 20;     // at most
constexpr std::uint64_t kFewestImpressions = 100;  // of a calibration bin, where there are as many

/// The exponent and 12 bits of the fraction of a score that is not negative: they order as the scores do.
constexpr std::uint32_t place(float score) {
  return std::bit_cast<std::uint32_t>(score) >> 11U;
}
constexpr std::uint32_t kFirst = place(0x1p-24F), kEnd = place(2.0F);

void merge(ScoreBin& into, const ScoreBin& bin) {
  into.count += bin.count;
  into.positives += bin.positives;
  into.predicted += bin.predicted;
}

/// Merges neighbours in the order of [first, last) until full(bin).
template <class Iterator, class Full>
std::vector<ScoreBin> merged(Iterator first, Iterator last, const Full& full) {
  std::vector<ScoreBin> result;
  ScoreBin open;
  for (; first != last; ++first) {
    merge(open, *first);
    if (open.count == 0 || !full(open)) continue;
    result.push_back(open);
    open = {};
  }
  if (open.count > 0) result.push_back(open);
  return result;
}

}  // namespace

ScoreHistogram::ScoreHistogram() : bins_(kEnd - kFirst) {}

void ScoreHistogram::add(float score, bool label) {
  ScoreBin& bin = bins_[std::clamp(place(score), kFirst, kEnd - 1) - kFirst];
  ++bin.count;
  bin.positives += label ? 1 : 0;
  bin.predicted += static_cast<double>(score);
}

ScoreCurve ScoreHistogram::curve(std::string target) const {
  ScoreBin all;
  for (const ScoreBin& bin : bins_) merge(all, bin);
  const std::uint64_t negatives = all.count - all.positives;
  ScoreCurve curve{std::move(target), {}, {}};
  if (all.positives > 0 && negatives > 0) {
    curve.roc = merged(bins_.rbegin(), bins_.rend(), [&](const ScoreBin& bin) {
      return bin.positives * kRocSteps >= all.positives || (bin.count - bin.positives) * kRocSteps >= negatives;
    });
  }
  const std::uint64_t wanted = std::clamp<std::uint64_t>(all.count / kFewestImpressions, 1, kCalibrationBins);
  curve.calibration =
      merged(bins_.begin(), bins_.end(), [&](const ScoreBin& bin) { return bin.count * wanted >= all.count; });
  if (curve.calibration.size() > 1 && curve.calibration.back().count * wanted * 2 < all.count) {  // a small rest
    const ScoreBin rest = curve.calibration.back();
    curve.calibration.pop_back();
    merge(curve.calibration.back(), rest);
  }
  return curve;
}

nlohmann::ordered_json curves_json(const std::vector<ScoreCurve>& curves) {
  using nlohmann::ordered_json;
  ordered_json json = ordered_json::object();
  for (const ScoreCurve& curve : curves) {
    ordered_json roc{{"positives", ordered_json::array()}, {"negatives", ordered_json::array()}};
    for (const ScoreBin& bin : curve.roc) {
      roc["positives"].push_back(bin.positives);
      roc["negatives"].push_back(bin.count - bin.positives);
    }
    ordered_json calibration{
        {"count", ordered_json::array()}, {"positives", ordered_json::array()}, {"predicted", ordered_json::array()}};
    for (const ScoreBin& bin : curve.calibration) {
      calibration["count"].push_back(bin.count);
      calibration["positives"].push_back(bin.positives);
      calibration["predicted"].push_back(bin.predicted);
    }
    json[curve.target] = {{"roc", std::move(roc)}, {"calibration", std::move(calibration)}};
  }
  return json;
}

std::vector<ScoreCurve> curves_from_json(const nlohmann::ordered_json& json, const std::string& file) {
  using Counts = std::vector<std::uint64_t>;
  std::vector<ScoreCurve> curves;
  for (const auto& [target, entry] : json.items()) {
    ScoreCurve curve{target, {}, {}};
    const auto positives = entry.at("roc").at("positives").get<Counts>();
    const auto negatives = entry.at("roc").at("negatives").get<Counts>();
    const auto& calibration = entry.at("calibration");
    const auto count = calibration.at("count").get<Counts>();
    const auto hits = calibration.at("positives").get<Counts>();
    const auto predicted = calibration.at("predicted").get<std::vector<double>>();
    if (positives.size() != negatives.size() || count.size() != hits.size() || count.size() != predicted.size()) {
      throw data_error("{}: the arrays of {} differ in length. Train again.", file, target);
    }
    for (std::size_t i = 0; i < positives.size(); ++i) {
      curve.roc.push_back({positives[i] + negatives[i], positives[i], 0.0});
    }
    for (std::size_t i = 0; i < count.size(); ++i) curve.calibration.push_back({count[i], hits[i], predicted[i]});
    curves.push_back(std::move(curve));
  }
  return curves;
}

}  // namespace esmm
