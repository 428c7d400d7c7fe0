#pragma once
#include <cstdint>

namespace esmm::bench {

/// Ceilings of this machine, measured now with `threads` threads (0: one per core); each takes about `seconds`.

/// Fused multiply-adds of floats in registers, in GFLOP/s (an FMA is two): no product of matrices can be faster. With
/// the widest of AVX-512 and AVX2 that the processor has.
[[nodiscard]] double fma_peak(int threads, double seconds);
/// The same by AVX512-BF16, whose products of pairs count as four; 0 where the processor lacks it.
[[nodiscard]] double bf16_peak(int threads, double seconds);
/// Sequential reads from an array far larger than the caches, in GB/s.
[[nodiscard]] double read_bandwidth(int threads, double seconds);
/// Reads of embedding rows of `columns` floats at random places of such an array, prefetched as pooling does, in GB/s
/// (padding between the rows not counted).
[[nodiscard]] double random_row_bandwidth(int threads, double seconds, std::int64_t columns);

}  // namespace esmm::bench
