#pragma once
#include <string>

namespace esmm {

/// Number format of the tower products; parameters, embeddings, sums and everything else stay fp32.
enum class Precision { fp32, bf16 };

/// Which kernels compute the towers on a GPU: a chain of cuBLASLt products, one fused kernel per pass, or whichever of
/// the two was faster when both were timed before the first step.
enum class TowerKernels { measured, chain, fused };

struct TowerChoice {
  TowerKernels kernels = TowerKernels::measured;
  std::string description;  // for the log: the choice, and the times behind it
  std::string warning;      // why it is not the kernels that were asked for; else empty
};

/// What distinguishes one GPU backend from another.
struct DeviceOptions {
  int device = 0;  // CUDA's number
  Precision precision = Precision::fp32;
  TowerKernels towers = TowerKernels::measured;
};

}  // namespace esmm
