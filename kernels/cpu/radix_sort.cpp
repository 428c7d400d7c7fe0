#include "kernels/cpu/radix_sort.hpp"

#include <algorithm>
#include <utility>

namespace esmm::cpu {

namespace {

constexpr int kDigitBits = 11;
constexpr std::int64_t kDigits = std::int64_t{1} << kDigitBits;

/// Words per unit of parallel work: depends on the number of words only.
std::int64_t chunk_words(std::int64_t words) {
  constexpr std::int64_t kLeast = 16384;  // below this the 2048 counters cost more than the words
  constexpr std::int64_t kMostChunks = 64;
  return std::max(kLeast, (words + kMostChunks - 1) / kMostChunks);
}

/// The bits of a word that one pass sorts by.
template <class Word>
struct Digit {
  Digit(int begin_bit, int end_bit)
      : shift(static_cast<unsigned>(begin_bit)),
        mask((Word{1} << static_cast<unsigned>(std::min(kDigitBits, end_bit - begin_bit))) - 1) {}
  std::int64_t operator()(Word word) const { return static_cast<std::int64_t>((word >> shift) & mask); }
  unsigned shift;
  Word mask;
};

/// Turns counts[chunk][digit] into the place of each chunk's first word of each digit.
void prefix_sums(std::span<std::uint32_t> counts, std::int64_t chunks) {
  std::uint32_t place = 0;
  for (std::int64_t d = 0; d < kDigits; ++d) {
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      place += std::exchange(counts[static_cast<std::size_t>(chunk * kDigits + d)], place);
    }
  }
}

}  // namespace

template <class Word>
std::span<Word> radix_sort(ThreadPool& pool, std::span<Word> words, std::span<Word> scratch, int begin_bit, int end_bit,
                           Buffer<std::uint32_t>& counts) {
  const auto size = static_cast<std::int64_t>(words.size());
  const std::int64_t chunk_size = chunk_words(size);
  const std::int64_t chunks = (size + chunk_size - 1) / chunk_size;
  counts.resize(chunks * kDigits);

  const auto chunk_of = [&](std::int64_t chunk) {
    const std::int64_t begin = chunk * chunk_size;
    return words.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(std::min(chunk_size, size - begin)));
  };
  for (int shift = begin_bit; shift < end_bit; shift += kDigitBits) {
    const Digit<Word> digit(shift, end_bit);
    pool.for_each_chunk(chunks, [&](std::int64_t chunk, int) {
      std::uint32_t* count = counts.data() + chunk * kDigits;
      std::fill(count, count + kDigits, 0U);
      for (const Word word : chunk_of(chunk)) ++count[digit(word)];
    });
    prefix_sums(counts.span(), chunks);
    pool.for_each_chunk(chunks, [&](std::int64_t chunk, int) {
      std::uint32_t* place = counts.data() + chunk * kDigits;
      Word* to = scratch.data();
      for (const Word word : chunk_of(chunk)) to[place[digit(word)]++] = word;
    });
    std::swap(words, scratch);
  }
  return words;
}

template std::span<std::uint32_t> radix_sort(ThreadPool&, std::span<std::uint32_t>, std::span<std::uint32_t>, int, int,
                                             Buffer<std::uint32_t>&);
template std::span<std::uint64_t> radix_sort(ThreadPool&, std::span<std::uint64_t>, std::span<std::uint64_t>, int, int,
                                             Buffer<std::uint32_t>&);

}  // namespace esmm::cpu
