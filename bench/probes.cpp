#include "bench/probes.hpp"

#include <immintrin.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <numeric>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "kernels/cpu/bf16_product.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/simd.hpp"

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

// Pairs of bfloat16 are ones on one side and zeros on the other: the sums stay what they are.
__attribute__((target("avx512f,avx512bf16"))) float bf16_chains(std::int64_t rounds, float start) {
  __m512 chains[kChains];
  for (int c = 0; c < kChains; ++c) chains[c] = _mm512_set1_ps(start * static_cast<float>(c));
  const auto ones = reinterpret_cast<__m512bh>(_mm512_set1_epi32(0x3F803F80));
  const auto zeros = reinterpret_cast<__m512bh>(_mm512_setzero_si512());
  for (std::int64_t r = 0; r < rounds; ++r) {
    for (auto& chain : chains) chain = _mm512_dpbf16_ps(chain, ones, zeros);
  }
  float lanes[16], sum = 0.0F;
  for (const __m512& chain : chains) {
    _mm512_storeu_ps(lanes, chain);
    sum += lanes[0];
  }
  return sum;
}

constexpr std::int64_t kPiece = std::int64_t{1} << 20;

ESMM_VECTORIZED float sum_of_piece(const float* from) {
  constexpr int kSums = 64;
  float sums[kSums] = {};
  for (std::int64_t i = 0; i < kPiece; i += kSums) {
    for (int k = 0; k < kSums; ++k) sums[k] += from[i + k];
  }
  return std::accumulate(std::begin(sums), std::end(sums), 0.0F);
}

/// The sum of whole rows, each asked for some rows before it is read: what pooling does.
ESMM_VECTORIZED float sum_of_rows(MatrixView<const float> rows, std::span<const std::uint32_t> places) {
  constexpr std::size_t kAhead = 24;
  constexpr std::int64_t kLanes = 16;  // a cache line
  float sums[kLanes] = {};
  for (std::size_t i = 0; i < places.size(); ++i) {
    const float* ahead = rows.row(places[std::min(i + kAhead, places.size() - 1)]);
    for (std::int64_t c = 0; c < rows.cols; c += kLanes) __builtin_prefetch(ahead + c);
    __builtin_prefetch(ahead + rows.cols - 1);  // rows need not start on a line
    const float* row = rows.row(places[i]);
    std::int64_t c = 0;
    for (; c + kLanes <= rows.cols; c += kLanes) {
      for (std::int64_t lane = 0; lane < kLanes; ++lane) sums[lane] += row[c + lane];
    }
    for (std::int64_t lane = 0; c + lane < rows.cols; ++lane) sums[lane] += row[c + lane];
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

double bf16_peak(int threads, double seconds) {
  if (!cpu::has_bf16_instructions()) return 0.0;
  constexpr std::int64_t kRounds = 100'000;
  constexpr double kFlop = 2.0 * kChains * 32 * static_cast<double>(kRounds);
  const double per_second = rate(threads, seconds, [&](int, std::int64_t) {
    sink = bf16_chains(kRounds, 0.01F);
    return kFlop;
  });
  return per_second / 1e9;
}

double read_bandwidth(int threads, double seconds) {
  cpu::CpuMemory memory;  // its pages are as large as those of the embedding tables
  const Buffer<float> array(memory, kArrayFloats);
  const double per_second = rate(threads, seconds, [&](int thread, std::int64_t call) {
    const std::int64_t piece = (call + thread * 17) % (kArrayFloats / kPiece);
    sink = sum_of_piece(array.data() + piece * kPiece);
    return static_cast<double>(kPiece) * sizeof(float);
  });
  return per_second / 1e9;
}

double random_row_bandwidth(int threads, double seconds, std::int64_t columns) {
  constexpr std::size_t kPlaces = std::size_t{1} << 20U, kPlacesPerCall = std::size_t{1} << 14U;
  cpu::CpuMemory memory;
  const Buffer<float> array(memory, kArrayFloats);
  const std::int64_t stride = memory.row_stride(columns);
  const MatrixView<const float> rows(array.data(), kArrayFloats / stride, columns, stride);
  std::mt19937 random(1);
  std::uniform_int_distribution<std::uint32_t> place(0, static_cast<std::uint32_t>(rows.rows - 1));
  std::vector<std::uint32_t> places(kPlaces);
  std::generate(places.begin(), places.end(), [&] { return place(random); });
  const double per_second = rate(threads, seconds, [&](int thread, std::int64_t call) {
    const auto piece = static_cast<std::size_t>(call + thread * 17) % (kPlaces / kPlacesPerCall);
    sink = sum_of_rows(rows, std::span(places).subspan(piece * kPlacesPerCall, kPlacesPerCall));
    return static_cast<double>(kPlacesPerCall) * static_cast<double>(columns) * sizeof(float);
  });
  return per_second / 1e9;
}

}  // namespace esmm::bench
