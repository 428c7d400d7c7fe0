#include "engine/methods.hpp"

#include <array>

#include "engine/config.hpp"
#include "kernels/random.hpp"

namespace esmm {

std::span<const Method> methods() {
  using enum RowWeights;
  using enum Probability;
  using enum ReadOut;
  static constexpr std::array<Method, 8> table{{
      // name, shared tables, second head's probability, its rows, their rate, auxiliary loss, read-out, second loss
      {"base", false, own, clicked, nullptr, nullptr, factor, "cvr"},
      {"aman", false, own, sampled, &Config::aman_rate, nullptr, factor, "cvr"},
      {"oversampling", false, own, oversampled, &Config::oversampling_rate, nullptr, factor, "cvr"},
      {"unbias", false, own, accepted, &Config::unbias_floor, nullptr, factor, "cvr"},
      {"division", false, own, every, nullptr, nullptr, ratio, "ctcvr"},
      {"esmm_ns", false, product, every, nullptr, nullptr, factor, "ctcvr"},
      {"esmm", true, product, every, nullptr, nullptr, factor, "ctcvr"},
      {"esmm_aux", true, product, every, nullptr, &Config::aux_weight, factor, "ctcvr"},
  }};
  return table;
}

const Method& method(ModelKind kind) {
  return methods()[static_cast<std::size_t>(kind)];
}

Objective objective(const Config& config) {
  const Method& chosen = method(config.model);
  Objective o;
  o.ctr_weight = config.ctr_weight;
  o.conversion_weight = config.ctcvr_weight;
  o.auxiliary_weight = chosen.auxiliary == nullptr ? 0.0F : config.*chosen.auxiliary;
  o.probability = chosen.probability;
  o.rows = chosen.rows;
  if (o.rows == RowWeights::accepted && config.unbias == Unbias::weights) o.rows = RowWeights::inverse;
  o.rate = chosen.rate == nullptr ? 1.0F : config.*chosen.rate;
  o.seed = random_stream(config.seed, 3);
  return o;
}

}  // namespace esmm
