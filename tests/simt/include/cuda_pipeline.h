#pragma once
// Stands in for CUDA's header of this name: asynchronous copies into shared memory that arrive as late as they may.
#include <cuda_runtime.h>

#include "tests/simt/pipeline.hpp"

using simt::cuda::__pipeline_commit;
using simt::cuda::__pipeline_memcpy_async;
using simt::cuda::__pipeline_wait_prior;
