#pragma once
#include <cstdint>

#include "engine/config.hpp"
#include "engine/model_spec.hpp"
#include "io/packed.hpp"
#include "kernels/backend.hpp"

namespace esmm {

/// Decides whether the dataset's ids stay in the memory of the device that `backend` computes on, and checks, before
/// anything is allocated, that the model and the data will fit where they are going to be. Ids stay if the
/// configuration says so, or leaves it open and they fit and are needed in more than one epoch; never on the CPU, whose
/// loader keeps what it has decoded. Throws Error (device) saying what to lower.
[[nodiscard]] bool check_memories(Backend& backend, const Config& config, const ModelSpec& spec,
                                  const PackedDataset& dataset);

/// The same decision where `free_bytes` of the device are left for ids.
[[nodiscard]] bool keeps_ids_resident(const Config& config, const PackedDataset& dataset, std::int64_t free_bytes);

}  // namespace esmm
