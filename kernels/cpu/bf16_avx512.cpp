#include "kernels/cpu/bf16_product.hpp"
#include "kernels/error.hpp"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>

#include <cstring>

// What is defined from here on, and nothing that other files share, is compiled for these instructions.
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512bf16")
#include "kernels/cpu/bf16_tiles.hpp"

namespace esmm::cpu {

namespace {

struct Avx512Lanes {
  using Pairs = __m512i;
  using Sums = __m512;

  static ESMM_INLINE __mmask16 mask(int lanes) {
    return static_cast<__mmask16>((1U << static_cast<unsigned>(lanes)) - 1);
  }
  static ESMM_INLINE Sums zero() { return _mm512_setzero_ps(); }
  static ESMM_INLINE Sums load(const float* from, int lanes) { return _mm512_maskz_loadu_ps(mask(lanes), from); }
  static ESMM_INLINE void store(float* to, Sums sums, int lanes) { _mm512_mask_storeu_ps(to, mask(lanes), sums); }
  static ESMM_INLINE Pairs load_pairs(const Bf16Pair* from, int lanes) {
    return _mm512_maskz_loadu_epi32(mask(lanes), from);
  }
  static ESMM_INLINE Pairs broadcast(Bf16Pair pair) { return _mm512_set1_epi32(static_cast<int>(pair)); }
  static ESMM_INLINE Sums add_products(Sums sums, Pairs a, Pairs b) {
    return _mm512_dpbf16_ps(sums, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
};

}  // namespace

void multiply_bf16_avx512(const Bf16Product& product) {
  multiply_tiles<Avx512Lanes>(product);
}

#pragma GCC pop_options

bool has_bf16_instructions() {
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl");
}

}  // namespace esmm::cpu

#else
namespace esmm::cpu {

void multiply_bf16_avx512(const Bf16Product&) {
  throw internal_error("this build has no AVX512-BF16 products");
}
bool has_bf16_instructions() {
  return false;
}

}  // namespace esmm::cpu
#endif
