#pragma once
#include <cstdint>
#include <span>

#include "kernels/embedding.hpp"
#include "kernels/optimizer_math.hpp"

namespace esmm::cpu {

/// One optimizer step on arena rows rows[i] with gradients.row(i), on the calling thread. rows are distinct.
void step_rows(OptimizerKind kind, const StepConstants<float>& constants, std::span<const std::uint32_t> rows,
               MatrixView<const float> gradients, EmbeddingArena arena);

}  // namespace esmm::cpu
