#include "kernels/metrics.hpp"

#include "kernels/backend.hpp"
#include "kernels/error.hpp"

namespace esmm {

std::optional<double> auc(Backend& backend, std::span<const float> scores, std::span<const std::uint8_t> labels) {
  if (scores.size() != labels.size()) {
    throw internal_error("auc: {} scores but {} labels", scores.size(), labels.size());
  }
  if (scores.size() >= (std::uint64_t{1} << 32U)) {  // counts of pairs are kept in 64 bits
    throw internal_error("auc: {} scores given, at most 2^32 - 1 can be ranked", scores.size());
  }
  return backend.auc(scores, labels);
}

}  // namespace esmm
