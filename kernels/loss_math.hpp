#pragma once
#include <cmath>

#include "kernels/host_device.hpp"

namespace esmm {

// One-row formulas of the two-task loss in logit space, T = float or double; docs/maths.md derives them.
// a = click logit, b = conversion logit, p = σ(a)·σ(b) = pCTCVR, t = click·conversion.

/// σ(x); exp's argument is never positive, so nothing overflows.
template <class T>
ESMM_HD T sigmoid(T x) {
  const T e = std::exp(-std::fabs(x));
  return (x < 0 ? e : T(1)) / (T(1) + e);
}

/// log(1 + e^x)
template <class T>
ESMM_HD T softplus(T x) {
  return std::fmax(x, T(0)) + std::log1p(std::exp(-std::fabs(x)));
}

/// BCE(y, σ(a))
template <class T>
ESMM_HD T ctr_loss(T a, bool y) {
  return softplus(y ? -a : a);
}

/// ∂/∂a BCE(y, σ(a)) = σ(a) − y, without the cancellation at y = 1.
template <class T>
ESMM_HD T ctr_gradient(T a, bool y) {
  return y ? -sigmoid(-a) : sigmoid(a);
}

/// −log(1 − p)
template <class T>
ESMM_HD T ctcvr_negative_loss(T a, T b) {
  const T p = sigmoid(a) * sigmoid(b);
  if (p < T(0.5)) return -std::log1p(-p);
  // Here a, b > 0. 1 − p = (e^−a + e^−b + e^(−a−b)) · σ(a) · σ(b); the largest of the three terms is taken out.
  const T small = std::fmin(a, b), large = std::fmax(a, b);
  return (softplus(-a) + softplus(-b)) + (small - std::log1p(std::exp(small - large) + std::exp(-large)));
}

/// BCE(t, p)
template <class T>
ESMM_HD T ctcvr_loss(T a, T b, bool t) {
  return t ? softplus(-a) + softplus(-b) : ctcvr_negative_loss(a, b);
}

/// ∂/∂a BCE(t, p); by symmetry ∂/∂b is ctcvr_gradient(b, a, t).
template <class T>
ESMM_HD T ctcvr_gradient(T a, T b, bool t) {
  if (t) return -sigmoid(-a);
  // p·r with r = (1 − σ(a)) / (1 − p) = (1 + e^−b) / (1 + e^−b + e^(a−b)), scaled so that e^∓b cannot overflow.
  const T kept = T(1) + std::exp(-std::fabs(b));
  const T r = kept / (kept + std::exp(b < 0 ? a : a - b));
  return sigmoid(a) * sigmoid(b) * r;
}

}  // namespace esmm
