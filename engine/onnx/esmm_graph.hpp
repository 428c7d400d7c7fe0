#pragma once
#include <onnx/onnx_pb.h>

#include "engine/parameters.hpp"

namespace esmm {

/// Whether inputs that have a meaningful default may be left out by the client (as initializers that can be
/// overridden), or must be fed, for servers that do not know such inputs (Triton).
enum class Defaults { optional, required };

/// Name of the initializer that holds all embedding tables one below the other; its data are left for the caller.
inline constexpr const char* kEmbeddingTensor = "embedding";

/// Writes the forward pass of a model whose parameters are in host memory. B impressions, U common rows, N ids:
///   common_ids [N], common_offsets [U*Fc + 1], common_values [N], common_row [B]; sample_ids [N'],
///   sample_offsets [B*Fs + 1], sample_values [N']; dense [B, E] → pctr [B], pcvr [B], pctcvr [B].
/// Bags, ids and values are those of docs/serving.md: pooling, value transforms and the normalisation of dense columns
/// are part of the graph. Inputs that a model does not read are left out. Dropout is off. The same parameters give the
/// same bytes.
void write_esmm_graph(const Parameters& parameters, Defaults defaults, onnx::GraphProto& graph);

}  // namespace esmm
