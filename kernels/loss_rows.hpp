#pragma once
#include "kernels/loss.hpp"
#include "kernels/loss_math.hpp"
#include "kernels/random.hpp"

namespace esmm {

// One row of two_task_loss; each backend brings the loops and the sums.

/// Uniform in [0, 1), of one row in one step.
ESMM_HD inline float row_draw(const Objective& o, std::int64_t row) {
  return uniform(o.seed, o.step, static_cast<std::uint32_t>(row));
}

/// min(1, rate / σ(a)): the odds of a click that would be kept had every impression the same pCTR.
ESMM_HD inline float inverse_propensity(float a, float rate) {
  const float pctr = sigmoid(a);
  return pctr > rate ? rate / pctr : 1.0F;
}

/// w of a row in the second head's loss.
ESMM_HD inline float row_weight(const Objective& o, float a, bool click, bool conversion, std::int64_t row) {
  switch (o.rows) {
    case RowWeights::every:
      return 1.0F;
    case RowWeights::clicked:
      return click ? 1.0F : 0.0F;
    case RowWeights::sampled:
      return click || row_draw(o, row) < o.rate ? 1.0F : 0.0F;
    case RowWeights::oversampled:
      return !click ? 0.0F : conversion ? o.rate : 1.0F;
    case RowWeights::accepted:
      return click && row_draw(o, row) < inverse_propensity(a, o.rate) ? 1.0F : 0.0F;
    case RowWeights::inverse:
      return click ? inverse_propensity(a, o.rate) : 0.0F;
  }
  return 0.0F;
}

/// Whether the sums of weights depend on the rows; else they are the number of impressions and no clicks.
inline bool weighs_rows(const Objective& o) {
  return o.rows != RowWeights::every || o.auxiliary_weight > 0.0F;
}

/// Sums of weights over a batch.
struct WeightSums {
  double conversion = 0.0, clicks = 0.0;
};

/// A task's own weight over its sum of row weights.
struct LossScales {
  float ctr, conversion, auxiliary;
};

ESMM_HD inline LossScales loss_scales(const Objective& o, std::int64_t impressions, const WeightSums& weights) {
  const auto over = [](float weight, double sum) { return sum > 0.0 ? weight / static_cast<float>(sum) : 0.0F; };
  return {over(o.ctr_weight, static_cast<double>(impressions)), over(o.conversion_weight, weights.conversion),
          over(o.auxiliary_weight, weights.clicks)};
}

/// Weighted losses of one row.
struct LossRow {
  double ctr, conversion, auxiliary;
};

/// Fills gradient[2] = ∂L/∂(a, b).
ESMM_HD inline LossRow loss_row(const Objective& o, const LossScales& scales, float a, float b, bool click,
                                bool conversion, std::int64_t row, float* gradient) {
  const bool t = click && conversion;
  const float weight = row_weight(o, a, click, conversion, row);
  LossRow out{static_cast<double>(ctr_loss(a, click)), 0.0, 0.0};
  float da = scales.ctr * ctr_gradient(a, click), db = 0.0F;
  if (weight > 0.0F) {
    const bool product = o.probability == Probability::product;
    const float scale = scales.conversion * weight;
    out.conversion = static_cast<double>(weight) * static_cast<double>(product ? ctcvr_loss(a, b, t) : ctr_loss(b, t));
    if (product) da += scale * ctcvr_gradient(a, b, t);
    db = scale * (product ? ctcvr_gradient(b, a, t) : ctr_gradient(b, t));
  }
  if (o.auxiliary_weight > 0.0F && click) {
    out.auxiliary = static_cast<double>(ctr_loss(b, conversion));
    db += scales.auxiliary * ctr_gradient(b, conversion);
  }
  gradient[0] = da;
  gradient[1] = db;
  return out;
}

/// Sums of weighted losses to weighted means.
ESMM_HD inline TaskLosses mean_losses_of(const LossRow& sums, std::int64_t impressions, const WeightSums& weights) {
  const auto over = [](double sum, double weight) { return weight > 0.0 ? sum / weight : 0.0; };
  return {over(sums.ctr, static_cast<double>(impressions)), over(sums.conversion, weights.conversion),
          over(sums.auxiliary, weights.clicks)};
}

}  // namespace esmm
