#pragma once
#include <cstdint>
#include <string>

#include "engine/run_model.hpp"

namespace esmm {

/// Embedding tables that are larger than this are written to a file of their own: a protobuf holds at most 2 GB.
inline constexpr std::int64_t kExternalDataBytes = 1LL << 30;

/// Writes a finished run, loaded into host memory, for servers (docs/serving.md):
/// FILE, the graph with the run's fields as JSON under `esmm` in its metadata; FILE.data, the tables, where they are
/// larger than `external_bytes`; and the vocabulary in FILE's name with .vocab for its extension. Replaces an older
/// export: at once where only FILE changes; else a kill may leave none, but never parts of both. Deterministic. Throws
/// Error (io).
void export_onnx(const RunModel& run, const std::string& file, std::int64_t external_bytes = kExternalDataBytes);

/// Writes a model directory for Triton's repository: config.pbtxt, 1/model.onnx with what belongs to it. Every input
/// must be fed there. Throws Error: usage (the directory exists), io.
void export_triton(const RunModel& run, const std::string& directory, std::int64_t external_bytes = kExternalDataBytes);

}  // namespace esmm
