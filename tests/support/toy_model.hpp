#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/config.hpp"
#include "engine/model_spec.hpp"
#include "engine/parameters.hpp"
#include "io/loader.hpp"
#include "tests/reference/esmm.hpp"

namespace esmm::test {

/// A small ESMM with every kind of input: two common fields, three sample fields (one of which shares a common field's
/// table), two dense columns; bags of 0 to 4 weighted ids.
Config toy_config(Activation activation);
ModelSpec toy_spec(const Config& config);

/// A random batch of `impressions` in groups of 1 to 4 per common row.
HostBatch toy_batch(const ModelSpec& spec, std::int64_t impressions, std::uint64_t seed);

/// The same model and batch in the terms of the double reference.
reference::Esmm to_reference(const Config& config, const Parameters& parameters);
std::vector<reference::Impression> to_reference(const HostBatch& batch);

}  // namespace esmm::test
