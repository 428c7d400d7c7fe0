#pragma once
#include <string>
#include <unordered_map>

namespace esmm {

/// What a synthetic world knows of one impression.
struct TruthRow {
  float pctr = 0, pcvr = 0;
  bool conversion_if_clicked = false;
};
using Truth = std::unordered_map<std::string, TruthRow>;  // by sample id

/// Reads `sample_id,pctr,pcvr,conversion_if_clicked`, as `esmm_gpu synth` writes it. Throws Error (data) with file and
/// line, Error (io).
[[nodiscard]] Truth load_truth(const std::string& path);

}  // namespace esmm
