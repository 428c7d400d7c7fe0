#pragma once
#include <cstdint>
#include <span>

#include "kernels/view.hpp"

namespace esmm {

class Backend;

/// What the second head is trained to predict, with a, b the logits of the two heads.
enum class Probability : std::int32_t {
  own,      // σ(b)
  product,  // σ(a)·σ(b): pCTCVR, of which σ(b) is the factor pCVR
};

/// How much a row weighs in the second head's loss. `rate` is Objective::rate.
enum class RowWeights : std::int32_t {
  every,        // 1
  clicked,      // 1 if clicked, else 0
  sampled,      // 1 if clicked, else 1 with probability `rate`
  oversampled,  // `rate` if converted, 1 if only clicked, else 0
  accepted,     // 1 with probability min(1, rate / pCTR) if clicked, else 0; pCTR is a constant here
  inverse,      // min(1, rate / pCTR) if clicked, else 0; pCTR is a constant here
};

/// What a model with two heads is trained for; by default ESMM, with the paper's weights.
struct Objective {
  float ctr_weight = 1.0F, conversion_weight = 1.0F, auxiliary_weight = 0.0F;
  Probability probability = Probability::product;
  RowWeights rows = RowWeights::every;
  float rate = 1.0F;
  std::uint64_t seed = 0, step = 0;  // key of the random numbers that draw rows
};

/// Losses of one batch, each a weighted mean, not yet multiplied by the task's own weight.
struct TaskLosses {
  double ctr = 0.0;         // mean BCE(click, pCTR)
  double conversion = 0.0;  // Σ w·BCE(click·conversion, p) / Σ w, p as Objective::probability
  double auxiliary = 0.0;   // mean BCE(conversion, σ(b)) over the clicked rows
  [[nodiscard]] double total(const Objective& o) const {
    return static_cast<double>(o.ctr_weight) * ctr + static_cast<double>(o.conversion_weight) * conversion +
           static_cast<double>(o.auxiliary_weight) * auxiliary;
  }
};

/// L = w_ctr · mean BCE(y, σ(a)) + w_conversion · Σ w·BCE(y·z, p) / Σ w + w_auxiliary · Σ y·BCE(z, σ(b)) / Σ y over the
/// first n = `impressions` of R rows, in logit space, and its gradient. A loss whose weights are all 0 is 0. Where w
/// is 0 for rows without a click, y·z is z: one label serves every method.
/// logits [R, 2] = (a, b); click, conversion [R]; dlogits [R, 2] = ∂L/∂(a, b), zero in the rows after the first n,
/// whose logits and labels are not read. All of them and `losses` are in the backend's memory. Sums run in fixed chunks
/// in double: bitwise deterministic. Asynchronous on a device. Source: arXiv:1804.07931 eq. 3 and §3.2; docs/maths.md.
void two_task_loss(Backend& backend, const Objective& objective, MatrixView<const float> logits,
                   std::span<const std::uint8_t> click, std::span<const std::uint8_t> conversion,
                   std::int64_t impressions, TaskLosses* losses, MatrixView<float> dlogits);

}  // namespace esmm
