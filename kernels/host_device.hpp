#pragma once

// Marks the one-row formulas that both the host and the CUDA backend call.
#if defined(__CUDACC__)
#define ESMM_HD __host__ __device__
#else
#define ESMM_HD
#endif
