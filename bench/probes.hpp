#pragma once
#include <cstdint>

namespace esmm::bench {

/// Ceilings of this machine, measured now with `threads` threads (0: one per core); each takes about `seconds`.

/// Fused multiply-adds of floats in registers, in GFLOP/s (an FMA is two): no product of matrices can be faster. With
/// the widest of AVX-512 and AVX2 that the processor has.
[[nodiscard]] double fma_peak(int threads, double seconds);
/// Sequential reads from an array far larger than the caches, in GB/s.
[[nodiscard]] double read_bandwidth(int threads, double seconds);
/// Reads of whole rows of `row_bytes` (a multiple of 4) at random places of such an array, in GB/s: what pooling does.
[[nodiscard]] double random_row_bandwidth(int threads, double seconds, std::int64_t row_bytes);

}  // namespace esmm::bench
