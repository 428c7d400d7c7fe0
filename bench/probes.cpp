#include "bench/probes.hpp"

#include <immintrin.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <numeric>
#include <thread>
#include <vector>

namespace esmm::bench {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::int64_t kArrayFloats = std::int64_t{1} << 26;  // 256 MB

// Ten independent chains hide the latency of an FMA (4 cycles, two units); each keeps its value within (0, 1).
constexpr int kChains = 10;
constexpr float kFactor = 0.5F, kSummand = 0.25F;

__attribute__((target("avx512f"))) float fma_chains_avx512(std::int64_t rounds, float start) {
  __m512 chains[kChains];
  for (int c = 0; c < kChains; ++c) chains[c] = _mm512_set1_ps(start * static_cast<float>(c));
  const __m512 factor = _mm512_set1_ps(kFactor), summand = _mm512_set1_ps(kSummand);
  for (std::int64_t r = 0; r < rounds; ++r) {
    for (auto& chain : chains) chain = _mm512_fmadd_ps(chain, factor, summand);
  }
  float lanes[16], sum = 0.0F;
  for (const __m512& chain : chains) {
    _mm512_storeu_ps(lanes, chain);
    sum += lanes[0];
  }
  return sum;
}

__attribute__((target("avx2,fma"))) float fma_chains_avx2(std::int64_t rounds, float start) {
  __m256 chains[kChains];
  for (int c = 0; c < kChains; ++c) chains[c] = _mm256_set1_ps(start * static_cast<float>(c));
  const __m256 factor = _mm256_set1_ps(kFactor), summand = _mm256_set1_ps(kSummand);
  for (std::int64_t r = 0; r < rounds; ++r) {
    for (auto& chain : chains) chain = _mm256_fmadd_ps(chain, factor, summand);
  }
  float lanes[8], sum = 0.0F;
  for (const __m256& chain : chains) {
    _mm256_storeu_ps(lanes, chain);
    sum += lanes[0];
  }
  return sum;
}

constexpr std::int64_t kPiece = std::int64_t{1} << 20;

float sum_of_piece(const float* from) {
  constexpr int kSums = 64;
  float sums[kSums] = {};
  for (std::int64_t i = 0; i < kPiece; i += kSums) {
    for (int k = 0; k < kSums; ++k) sums[k] += from[i + k];
  }
  return std::accumulate(std::begin(sums), std::end(sums), 0.0F);
}

/// Calls `work(thread, call)` in every thread until `seconds` have passed; the sum of what it returns (amounts of
/// work), per second.
double rate(int threads, double seconds, const std::function<double(int, std::int64_t)>& work) {
  const int count = threads > 0 ? threads : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  std::vector<double> rates(static_cast<std::size_t>(count));
  {
    std::vector<std::jthread> running;
    for (int t = 0; t < count; ++t) {
      running.emplace_back([&, t] {
        double done = 0.0, elapsed = 0.0;
        const auto started = Clock::now();
        for (std::int64_t call = 0; elapsed < seconds; ++call) {
          done += work(t, call);
          elapsed = std::chrono::duration<double>(Clock::now() - started).count();
        }
        rates[static_cast<std::size_t>(t)] = done / elapsed;
      });
    }
  }
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

std::atomic<float> sink;  // results go here, so that they are computed

}  // namespace

double fma_peak(int threads, double seconds) {
  constexpr std::int64_t kRounds = 100'000;
  const bool wide = __builtin_cpu_supports("avx512f") != 0;
  const double flop = 2.0 * kChains * (wide ? 16 : 8) * static_cast<double>(kRounds);
  const double per_second = rate(threads, seconds, [&](int, std::int64_t) {
    sink = wide ? fma_chains_avx512(kRounds, 0.01F) : fma_chains_avx2(kRounds, 0.01F);
    return flop;
  });
  return per_second / 1e9;
}

double read_bandwidth(int threads, double seconds) {
  const std::vector<float> array(static_cast<std::size_t>(kArrayFloats), 1.0F);
  const double per_second = rate(threads, seconds, [&](int thread, std::int64_t call) {
    const std::int64_t piece = (call + thread * 17) % (kArrayFloats / kPiece);
    sink = sum_of_piece(array.data() + piece * kPiece);
    return static_cast<double>(kPiece) * sizeof(float);
  });
  return per_second / 1e9;
}

double random_row_bandwidth(int threads, double seconds, std::int64_t row_bytes) {
  constexpr int kRows = 10'000;
  const std::int64_t words = row_bytes / static_cast<std::int64_t>(sizeof(std::uint32_t));
  const std::int64_t rows = kArrayFloats / words;
  const std::vector<std::uint32_t> array(static_cast<std::size_t>(kArrayFloats), 1);  // integer sums vectorise
  const double per_second = rate(threads, seconds, [&](int thread, std::int64_t call) {
    std::uint64_t state = static_cast<std::uint64_t>(call) * 0x9E3779B97F4A7C15U + static_cast<std::uint64_t>(thread);
    std::uint32_t sum = 0;
    for (int r = 0; r < kRows; ++r) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      const std::uint64_t row = (state >> 33U) % static_cast<std::uint64_t>(rows);
      const std::uint32_t* from = array.data() + row * static_cast<std::uint64_t>(words);
      for (std::int64_t i = 0; i < words; ++i) sum += from[i];
    }
    sink = static_cast<float>(sum);
    return static_cast<double>(kRows) * static_cast<double>(row_bytes);
  });
  return per_second / 1e9;
}

}  // namespace esmm::bench
