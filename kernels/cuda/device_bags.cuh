#pragma once
#include "kernels/batch.hpp"
#include "kernels/cuda/device.cuh"

namespace esmm::ESMM_DEVICE_NAMESPACE {

/// Bags as kernels take them.
struct DeviceBags {
  explicit DeviceBags(const Bags& bags)
      : offsets(bags.offsets.data()),
        rows(bags.rows.data()),
        weights(bags.weights.empty() ? nullptr : bags.weights.data()),
        fields(static_cast<std::uint32_t>(bags.fields)),
        count(bags.count()),
        ids(bags.ids()) {}

  const std::uint32_t* offsets;
  const std::uint32_t* rows;
  const float* weights;  // null: all 1
  std::uint32_t fields;
  std::int64_t count;  // bags
  std::int64_t ids;    // padding included
};

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
