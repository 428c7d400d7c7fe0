#pragma once
#include <cstdint>

#include "kernels/loss_math.hpp"

namespace esmm {

/// What the second logit of a trained model means.
enum class ReadOut : std::int32_t {
  factor,  // pCVR = σ(b), pCTCVR = pCTR·pCVR
  ratio,   // pCTCVR = σ(b), pCVR = pCTCVR / pCTR, which may exceed 1
};

struct Prediction {
  float pctr, pcvr, pctcvr;
};

/// The probabilities that an impression's logits (a, b) stand for.
ESMM_HD inline Prediction predict(ReadOut read_out, float a, float b) {
  constexpr float kSmallest = 1.17549435e-38F;  // keeps the ratio finite
  const float pctr = sigmoid(a), second = sigmoid(b);
  if (read_out == ReadOut::ratio) return {pctr, second / std::fmax(pctr, kSmallest), second};
  return {pctr, second, pctr * second};
}

/// BCE(z, pCVR). A ratio is clamped to [1e-7, 1 − 1e-7] first: above 1 it has no cross-entropy.
ESMM_HD inline double pcvr_loss(ReadOut read_out, double a, double b, bool z) {
  if (read_out == ReadOut::factor) return ctr_loss(b, z);
  constexpr double kMargin = 1e-7;
  const double ratio = std::exp(softplus(-a) - softplus(-b));
  const double p = std::fmin(std::fmax(ratio, kMargin), 1.0 - kMargin);
  return z ? -std::log(p) : -std::log1p(-p);
}

/// BCE(t, pCTCVR)
ESMM_HD inline double pctcvr_loss(ReadOut read_out, double a, double b, bool t) {
  return read_out == ReadOut::factor ? ctcvr_loss(a, b, t) : ctr_loss(b, t);
}

}  // namespace esmm
