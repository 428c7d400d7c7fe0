#include "tests/simt/wmma.hpp"

#include <array>
#include <string>

namespace simt {
namespace {

const char* finish_access(WarpLanes& lanes) {
  const auto& first = *reinterpret_cast<const MatrixAccess*>(lanes.lane[0]->value);
  for (const Lane* lane : lanes.lane) {
    if (*reinterpret_cast<const MatrixAccess*>(lane->value) != first) return "has different arguments in its lanes";
  }
  return nullptr;
}

template <class Element, std::size_t count>
void gather(std::array<Element, count>& to, const Scatter& places, const std::array<const Element*, 32>& lanes) {
  for (unsigned e = 0; e < count; ++e) {
    const unsigned position = places.position(e);
    to[e] = lanes[position % 32][position / 32];
  }
}

float to_float(std::uint16_t bfloat16) {
  return widen_bfloat16(bfloat16);
}
float to_float(float tf32) {
  return tf32;
}
bool converted(std::uint16_t /*bfloat16*/) {
  return true;
}
bool converted(float tf32) {
  const auto bits = std::bit_cast<std::uint32_t>(tf32);
  return (bits & 0x1FFFU) == 0 || tf32 != tf32;
}

template <class Element, std::size_t count>
bool widen(std::array<float, count>& to, const std::array<Element, count>& from) {
  bool all_converted = true;
  for (std::size_t e = 0; e < count; ++e) {
    to[e] = to_float(from[e]);
    all_converted = all_converted && converted(from[e]);
  }
  return all_converted;
}

template <class Element, int m, int n, int k>
const char* finish_product(WarpLanes& lanes) {
  const auto of = [&](std::size_t lane) -> const MatrixProduct& {
    return *reinterpret_cast<const MatrixProduct*>(lanes.lane[lane]->value);
  };
  std::array<const Element*, 32> a_lanes, b_lanes;
  std::array<const float*, 32> c_lanes;
  for (std::size_t l = 0; l < 32; ++l) {
    if (!(of(l).a_places == of(0).a_places && of(l).b_places == of(0).b_places)) return "mixes layouts in its lanes";
    a_lanes[l] = static_cast<const Element*>(of(l).a);
    b_lanes[l] = static_cast<const Element*>(of(l).b);
    c_lanes[l] = of(l).c;
  }
  std::array<Element, m * k> a_elements;
  std::array<Element, k * n> b_elements;
  std::array<float, m * k> a;
  std::array<float, k * n> b;
  std::array<float, m * n> c;
  gather(a_elements, of(0).a_places, a_lanes);
  gather(b_elements, of(0).b_places, b_lanes);
  gather(c, of(0).c_places, c_lanes);
  if (!widen(a, a_elements) || !widen(b, b_elements)) return "has an operand not rounded by __float_to_tf32";
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < k; ++j) {
      for (std::size_t l = 0; l < n; ++l) c[i * n + l] += a[i * k + j] * b[j * n + l];
    }
  }
  for (unsigned e = 0; e < m * n; ++e) {
    const unsigned position = of(0).c_places.position(e);
    of(position % 32).d[position / 32] = c[e];
  }
  return nullptr;
}

}  // namespace

namespace collectives {

const Collective load_matrix{"load_matrix_sync", finish_access, true};
const Collective store_matrix{"store_matrix_sync", finish_access, true};
const Collective product_16x16x16{"mma_sync", finish_product<std::uint16_t, 16, 16, 16>, true};
const Collective product_32x8x16{"mma_sync", finish_product<std::uint16_t, 32, 8, 16>, true};
const Collective product_8x32x16{"mma_sync", finish_product<std::uint16_t, 8, 32, 16>, true};
const Collective product_16x16x8{"mma_sync", finish_product<float, 16, 16, 8>, true};

}  // namespace collectives

void check_matrix_access(const Collective& operation, const MatrixAccess& access, unsigned element_bytes,
                         const Place& place) {
  const auto fail = [&](const std::string& what) {
    raise_fault(std::string(operation.name) + " at line " + std::to_string(place.line()) + " has " + what);
  };
  if (reinterpret_cast<std::uintptr_t>(access.address) % 32 != 0) fail("an address that is not 32-byte aligned");
  if (access.stride * element_bytes % 16 != 0) {
    fail("a stride of " + std::to_string(access.stride) + ", which is no multiple of 16 bytes");
  }
  warp_collective(operation, 0xFFFFFFFFU, reinterpret_cast<std::uintptr_t>(&access), 0, place);
}

float cuda::wmma::__float_to_tf32(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7F800000U) == 0x7F800000U) return value != value ? std::bit_cast<float>(0x7FFFE000U) : value;
  return std::bit_cast<float>((bits + 0x1000U) & ~0x1FFFU);
}

}  // namespace simt
