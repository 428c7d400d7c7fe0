#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace esmm {

/// Impressions whose scores are neighbours.
struct ScoreBin {
  std::uint64_t count = 0, positives = 0;
  double predicted = 0;  // sum of the scores
  friend bool operator==(const ScoreBin&, const ScoreBin&) = default;
};

/// How a score ranks the impressions of its space and how well it is calibrated, in as many bins as a drawing needs.
struct ScoreCurve {
  std::string target;  // "ctr", "cvr", "ctcvr", "entire_space_cvr"
  /// Falling scores; a bin ends when it holds 1/500 of the positives or of the negatives, so that there are at most
  /// 1001. The area under the polygon through their corners differs from the exact AUC by at most
  /// Σ positives·negatives / (2·P·N) over the bins, half of what lies within them. Empty when a class is missing.
  std::vector<ScoreBin> roc;
  /// Rising scores; up to 20 bins of nearly equally many impressions, at least 100 each where there are that many.
  std::vector<ScoreBin> calibration;
  friend bool operator==(const ScoreCurve&, const ScoreCurve&) = default;
};

/// Counts scores that are not negative in 102400 bins, each at most 1/4096 as wide as its scores are large: 2.4 MB,
/// whatever the number of impressions. Scores below 2^-24 share the first, scores of 2 and more (a ratio pCTCVR / pCTR)
/// the last. Deterministic for one order of the impressions.
class ScoreHistogram {
 public:
  ScoreHistogram();
  void add(float score, bool label);
  [[nodiscard]] ScoreCurve curve(std::string target) const;

 private:
  std::vector<ScoreBin> bins_;
};

/// {"ctr": {"roc": {"positives": […], "negatives": […]}, "calibration": {"count": […], "positives": […],
/// "predicted": […]}}, …}, the arrays in the order of the bins.
[[nodiscard]] nlohmann::ordered_json curves_json(const std::vector<ScoreCurve>& curves);
/// Throws nlohmann::json::exception, or Error (data) beginning with `file`, when the JSON is not of that form.
[[nodiscard]] std::vector<ScoreCurve> curves_from_json(const nlohmann::ordered_json& json, const std::string& file);

}  // namespace esmm
