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

/// L = (1/B) Σ [w_ctr · BCE(y, pCTR) + w_ctcvr · BCE(y·z, pCTR·pCVR)], in logit space, and its gradient.
/// logits [B, 2] = (a, b); click, conversion [B]; dlogits [B, 2] = ∂L/∂(a, b). `losses` points to host memory on the
/// CPU and to device memory on a device. Sums run in fixed chunks in double: bitwise deterministic.
/// Source: arXiv:1804.07931 eq. 3; stable forms: docs/maths.md.
void two_task_loss(Backend& backend, const Objective& objective, MatrixView<const float> logits,
                   std::span<const std::uint8_t> click, std::span<const std::uint8_t> conversion, TaskLosses& losses,
                   MatrixView<float> dlogits);

/// pCTR = σ(a), pCVR = σ(b), pCTCVR = pCTR·pCVR for every impression; out [B, 3] in that order.
void predict_probabilities(Backend& backend, MatrixView<const float> logits, MatrixView<float> probabilities);

}  // namespace esmm
