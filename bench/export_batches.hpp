#pragma once
#include <string>

#include "bench/held_batches.hpp"
#include "engine/parameters.hpp"

namespace esmm::bench {

/// Writes what another system needs to take the same training steps into the new directory `path`:
/// model.safetensors (initial parameters), model.json (shapes, hyper-parameters) and a directory 0000, 0001, … of .npy
/// files per batch. docs/benchmarking.md has the format. Throws Error (usage: it exists; io).
void export_batches(const std::string& path, const HeldBatches& batches, const Parameters& parameters,
                    const Config& config);

}  // namespace esmm::bench
