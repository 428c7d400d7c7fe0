#pragma once
#include <cstdint>
#include <span>

#include "kernels/buffer.hpp"
#include "kernels/thread_pool.hpp"

namespace esmm::cpu {

/// Sorts words ascending by their bits [begin_bit, end_bit): least significant digit first, stable, in parallel.
/// The result is in `words` or in `scratch` (of equal size; both are overwritten), whichever is returned.
/// `counts` is working space kept by the caller. Word: std::uint32_t or std::uint64_t; fewer than 2^32 words.
template <class Word>
[[nodiscard]] std::span<Word> radix_sort(ThreadPool& pool, std::span<Word> words, std::span<Word> scratch,
                                         int begin_bit, int end_bit, Buffer<std::uint32_t>& counts);

}  // namespace esmm::cpu
