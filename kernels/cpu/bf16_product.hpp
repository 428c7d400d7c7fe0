#pragma once
#include <cstdint>

// One product of bfloat16 matrices, computed by the processor's own instructions or by plain loops.
namespace esmm::cpu {

/// The upper half of a float's bits.
using Bf16 = std::uint16_t;
/// Two neighbours along the depth of a product, the first in the low half.
using Bf16Pair = std::uint32_t;

/// c[r, n] = Σ_k a[r, k]·b[k, n] in fp32, or += it. Pair q of row r of a begins at a + r·a_row + q·a_pair; of an odd
/// depth's last pair only the first half is read.
struct Bf16Product {
  const Bf16* a;
  std::int64_t a_row, a_pair;
  const Bf16Pair* b;  // [(depth + 1) / 2, cols]
  std::int64_t b_stride;
  float* c;  // [rows, cols]
  std::int64_t c_stride;
  std::int64_t rows, cols, depth;
  bool accumulate;
};

/// Whether this processor, and this build, have AVX512-BF16.
[[nodiscard]] bool has_bf16_instructions();
/// By AVX512-BF16, which flushes denormal numbers to zero; only where has_bf16_instructions().
void multiply_bf16_avx512(const Bf16Product& product);
/// On any processor: the tests' stand-in, slower than products of floats.
void multiply_bf16_portable(const Bf16Product& product);

}  // namespace esmm::cpu
