#pragma once
#include <vector>

#include "engine/score_curves.hpp"

namespace esmm::test {

struct RocArea {
  double area = 0;
  double error = 0;  // by which it may differ from the exact AUC: half of the pairs within the bins
};

/// The area under the polygon through a ROC's corners.
[[nodiscard]] inline RocArea roc_area(const std::vector<ScoreBin>& roc) {
  double positives = 0, pairs_won = 0, pairs_within = 0, negatives = 0;
  for (const ScoreBin& bin : roc) {  // from the highest scores down
    const auto hits = static_cast<double>(bin.positives), misses = static_cast<double>(bin.count - bin.positives);
    pairs_won += misses * (positives + hits / 2);
    pairs_within += misses * hits;
    positives += hits;
    negatives += misses;
  }
  const double pairs = positives * negatives;
  return {pairs_won / pairs, pairs_within / (2 * pairs)};
}

}  // namespace esmm::test
