#pragma once
#include <string>
#include <vector>

#include "io/packed.hpp"

namespace esmm {

/// A feature that alone tells a label nearly perfectly, so that it probably was made from it.
struct Leak {
  std::string feature;
  std::string target;  // "click", or "conversion" (among clicked impressions)
  double auc = 0.0;
};

/// An AUC that no honest feature reaches by itself, and the positives and negatives that it takes to say so.
inline constexpr double kLeakAuc = 0.95;
inline constexpr std::size_t kLeakLabels = 20;

/// Looks for leaks in the single-valued sample fields and the dense columns of a labelled dataset, in about
/// `most_impressions` of blocks spread over it (fewer where their columns would take more than 512 MB). For a field:
/// the rate of the target per id, taken from every other common row, ranks the impressions of the remaining ones whose
/// id was seen. For a dense column: its value ranks them.
[[nodiscard]] std::vector<Leak> find_leaks(const PackedDataset& dataset, std::size_t most_impressions = 2'000'000);

}  // namespace esmm
