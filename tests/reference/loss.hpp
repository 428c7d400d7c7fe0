#pragma once

namespace esmm::reference {

/// Losses of one impression and their gradients by the logits, from the definition, in extended precision.
struct LossRow {
  double ctr;                 // BCE(click, σ(a))
  double ctcvr;               // BCE(click·conversion, σ(a)·σ(b))
  double ctr_da;              // ∂ctr/∂a
  double ctcvr_da, ctcvr_db;  // ∂ctcvr/∂a, ∂ctcvr/∂b
};

LossRow two_task_loss(double a, double b, bool click, bool conversion);

}  // namespace esmm::reference
