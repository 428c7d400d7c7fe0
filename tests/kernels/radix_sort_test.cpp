#include "kernels/cpu/radix_sort.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "kernels/cpu/cpu_backend.hpp"

namespace esmm::cpu {
namespace {

template <class Word>
std::vector<Word> sort(const std::vector<Word>& words, int begin_bit, int end_bit, int threads) {
  ThreadPool pool(threads);
  CpuMemory memory;
  Buffer<std::uint32_t> counts(memory, 0);
  std::vector<Word> from = words;
  std::vector<Word> scratch(words.size());
  const std::span<Word> sorted = radix_sort<Word>(pool, from, scratch, begin_bit, end_bit, counts);
  return {sorted.begin(), sorted.end()};
}

TEST(RadixSort, SortsByTheGivenBitsAndKeepsTheOrderOfEqualOnes) {
  std::mt19937_64 random(5);
  for (const std::size_t size : {0U, 1U, 2U, 1000U, 16384U, 16385U, 100000U}) {
    for (const auto& [begin, end] : {std::pair{32, 32}, {32, 33}, {32, 43}, {32, 44}, {32, 64}, {0, 64}, {5, 9}}) {
      std::vector<std::uint64_t> words(size);
      for (std::uint64_t& word : words) word = random();
      const std::vector<std::uint64_t> mine = sort(words, begin, end, 1);
      const auto bits = [b = begin, e = end](std::uint64_t word) {
        const std::uint64_t kept = e == 64 ? word : word & ((std::uint64_t{1} << e) - 1);
        return b == e ? 0 : kept >> b;
      };
      std::stable_sort(words.begin(), words.end(), [&](std::uint64_t a, std::uint64_t b) { return bits(a) < bits(b); });
      ASSERT_EQ(mine, words) << size << " words, bits " << begin << " to " << end;
    }
  }
}

TEST(RadixSort, SortsWordsOfThirtyTwoBitsWithAnyNumberOfThreads) {
  std::mt19937 random(6);
  std::vector<std::uint32_t> words(1100000);  // more than 64 of the smallest chunks
  for (std::uint32_t& word : words) word = static_cast<std::uint32_t>(random()) >> (random() % 32U);
  std::vector<std::uint32_t> expected = words;
  std::sort(expected.begin(), expected.end());
  for (const int threads : {1, 2, 5}) EXPECT_EQ(sort(words, 0, 32, threads), expected) << threads << " threads";
}

}  // namespace
}  // namespace esmm::cpu
