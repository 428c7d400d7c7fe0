#pragma once
#include <cstddef>

#include "tests/simt/thread.hpp"

namespace simt::cuda {

/// Copies 4, 8 or 16 bytes, the last `zero_filled` of which become zero. Until the wait the destination holds 0xFF.
void __pipeline_memcpy_async(void* to_shared, const void* from_global, std::size_t bytes, std::size_t zero_filled = 0,
                             Place place = Place::current());
void __pipeline_commit();
/// Waits for all of the calling thread's committed batches but the last `batches`.
void __pipeline_wait_prior(std::size_t batches);

}  // namespace simt::cuda
