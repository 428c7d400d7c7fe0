#include "tests/simt/wmma.hpp"

#include <array>
#include <cstring>
#include <string>

#include "tests/simt/block.hpp"

namespace simt {
namespace {

const char* finish_access(WarpLanes& lanes) {
  const auto& first = *reinterpret_cast<const MatrixAccess*>(lanes.lane[0]->value);
  for (const Lane* lane : lanes.lane) {
    if (*reinterpret_cast<const MatrixAccess*>(lane->value) != first) return "has different arguments in its lanes";
  }
  return nullptr;
}

/// Calls body(element, lane, slot) for all elements. Neighbouring slots of a lane are a constant number of elements
/// apart.
template <std::size_t count, class Body>
void for_each_element(const Scatter& places, Body&& body) {
  const unsigned step = (places.element(32) - places.element(0)) & (count - 1);
  for (unsigned lane = 0; lane < 32; ++lane) {
    unsigned element = places.element(lane);
    for (unsigned slot = 0; slot < count / 32; ++slot) {
      body(element, lane, slot);
      element = (element + step) & (count - 1);
    }
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

/// False where an operand's low bits are set.
template <class Element, std::size_t count>
bool gather(std::array<float, count>& to, const Scatter& places, const std::array<const Element*, 32>& lanes) {
  bool all_converted = true;
  for_each_element<count>(places, [&](unsigned element, unsigned lane, unsigned slot) {
    to[element] = to_float(lanes[lane][slot]);
    all_converted = all_converted && converted(lanes[lane][slot]);
  });
  return all_converted;
}

/// c[m, n] += a[m, k] * b[k, n], in order of k. Vectors by hand: gcc 12 would shuffle more than it multiplies.
template <std::size_t m, std::size_t n, std::size_t k>
void multiply_add(const std::array<float, m * k>& a, const std::array<float, k * n>& b, std::array<float, m * n>& c) {
  using Four [[gnu::vector_size(16)]] = float;
  constexpr std::size_t kVectors = n / 4;
  std::array<Four, k * kVectors> b_rows;
  std::memcpy(b_rows.data(), b.data(), sizeof(b_rows));
  for (std::size_t i = 0; i < m; ++i) {
    std::array<Four, kVectors> row;
    std::memcpy(row.data(), &c[i * n], sizeof(row));
    for (std::size_t j = 0; j < k; ++j) {
      for (std::size_t v = 0; v < kVectors; ++v) row[v] += a[i * k + j] * b_rows[j * kVectors + v];
    }
    std::memcpy(&c[i * n], row.data(), sizeof(row));
  }
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
  std::array<float, m * k> a;
  std::array<float, k * n> b;
  std::array<float, m * n> c;
  if (!gather(a, of(0).a_places, a_lanes) || !gather(b, of(0).b_places, b_lanes)) {
    return "has an operand not rounded by __float_to_tf32";
  }
  for_each_element<m * n>(of(0).c_places,
                          [&](unsigned element, unsigned lane, unsigned slot) { c[element] = c_lanes[lane][slot]; });
  multiply_add<m, n, k>(a, b, c);
  for_each_element<m * n>(of(0).c_places,
                          [&](unsigned element, unsigned lane, unsigned slot) { of(lane).d[slot] = c[element]; });
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
  const bool misaligned = reinterpret_cast<std::uintptr_t>(access.address) % 32 != 0;
  if (misaligned || access.stride * element_bytes % 16 != 0) {
    std::string message = std::string(operation.name) + " at " + to_string(place) + " has ";
    message += misaligned ? "an address that is not 32-byte aligned"
                          : "a stride of " + std::to_string(access.stride) + ", which is no multiple of 16 bytes";
    raise_fault(std::move(message));
  }
  warp_collective(operation, 0xFFFFFFFFU, reinterpret_cast<std::uintptr_t>(&access), 0, place);
}

float cuda::wmma::__float_to_tf32(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7F800000U) == 0x7F800000U) return value != value ? std::bit_cast<float>(0x7FFFE000U) : value;
  return std::bit_cast<float>((bits + 0x1000U) & ~0x1FFFU);
}

}  // namespace simt
