#pragma once
#include <cstdint>

#include "kernels/host_device.hpp"
#include "kernels/towers.hpp"
#include "kernels/view.hpp"

namespace esmm {

class Backend;

/// Whether a tower of a model with unshared tables reads an input: the first `pooled` inputs are bags of kTowers·dim
/// values, tower t's in [t·dim, (t+1)·dim); the inputs after them are dense and belong to every tower.
ESMM_HD inline bool tower_reads(std::int64_t tower, std::int64_t input, std::int64_t pooled, std::int64_t dim) {
  return input >= pooled || input / dim % std::int64_t{kTowers} == tower;
}

/// Sets to 0 what joins a tower to an input that it does not read. first_layer [I, kTowers·H]: weights of the joint
/// first layer or their gradients; pooled <= I. With gradients of 0, weights of 0 stay 0 under every optimizer of
/// towers: each tower then has tables of its own. Asynchronous on a device.
void separate_towers(Backend& backend, MatrixView<float> first_layer, std::int64_t pooled, std::int64_t dim);

}  // namespace esmm
