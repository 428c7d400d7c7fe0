#pragma once
// Stands in for CUDA's header of this name: matrix products of a warp.
#include <cuda_bf16.h>

#include "tests/simt/wmma.hpp"

namespace nvcuda {
namespace wmma = simt::cuda::wmma;
}  // namespace nvcuda
