#pragma once
#include <cstdint>
#include <span>

#include "kernels/view.hpp"

namespace esmm {

class Backend;

/// Weights of the two tasks of ESMM (1 in the paper).
struct Objective {
  float ctr_weight = 1.0F;
  float ctcvr_weight = 1.0F;
};

/// Mean losses of one batch, unweighted.
struct TaskLosses {
  double ctr = 0.0;    // mean BCE(click, pCTR)
  double ctcvr = 0.0;  // mean BCE(click·conversion, pCTR·pCVR)
  [[nodiscard]] double total(const Objective& o) const {
    return static_cast<double>(o.ctr_weight) * ctr + static_cast<double>(o.ctcvr_weight) * ctcvr;
  }
};

/// L = (1/n) Σ [w_ctr · BCE(y, pCTR) + w_ctcvr · BCE(y·z, pCTR·pCVR)] over the first n = `impressions` of R rows, in
/// logit space, and its gradient. logits [R, 2] = (a, b); click, conversion [R]; dlogits [R, 2] = ∂L/∂(a, b), zero in
/// the rows after the first n, whose logits and labels are not read. All of them and `losses` are in the backend's
/// memory. Sums run in fixed chunks in double: bitwise deterministic. Asynchronous on a device.
/// Source: arXiv:1804.07931 eq. 3; stable forms: docs/maths.md.
void two_task_loss(Backend& backend, const Objective& objective, MatrixView<const float> logits,
                   std::span<const std::uint8_t> click, std::span<const std::uint8_t> conversion,
                   std::int64_t impressions, TaskLosses* losses, MatrixView<float> dlogits);

}  // namespace esmm
