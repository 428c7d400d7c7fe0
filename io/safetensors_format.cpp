#include "io/safetensors_format.hpp"

#include <algorithm>
#include <cstring>
#include <map>

#include "io/sealed_json.hpp"

namespace esmm::safetensors {

std::uint64_t element_bytes(std::string_view dtype) {
  static const std::map<std::string_view, std::uint64_t> known = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"U16", 2}, {"I16", 2}, {"F16", 2},
      {"BF16", 2}, {"U32", 4}, {"I32", 4}, {"F32", 4},     {"U64", 8},     {"I64", 8}, {"F64", 8}};
  const auto found = known.find(dtype);
  return found == known.end() ? 0 : found->second;
}

bool tensor_bytes(std::string_view dtype, std::span<const std::int64_t> shape, std::uint64_t& bytes) {
  bytes = element_bytes(dtype);
  return std::all_of(shape.begin(), shape.end(), [&](std::int64_t extent) {
    return extent >= 0 && !__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes);
  });
}

std::string seal_of(std::string_view header_with_zeros) {
  return hex64(XXH3_64bits(header_with_zeros.data(), header_with_zeros.size()));
}

std::optional<std::string> take_seal(std::string& header) {
  const std::size_t at = header.find(kSealMark);
  if (at == std::string::npos || header.size() - at - kSealMark.size() < kSealZeros.size()) return std::nullopt;
  const std::string seal = header.substr(at + kSealMark.size(), kSealZeros.size());
  header.replace(at + kSealMark.size(), kSealZeros.size(), kSealZeros);
  return seal;
}

const float* rows_on_host(const StridedTensor& tensor, std::int64_t first, std::int64_t count, Staging& staging) {
  const float* from = tensor.data + first * tensor.stride;
  if (tensor.memory == nullptr) return from;
  staging.fetched.resize(static_cast<std::size_t>((count - 1) * tensor.stride + tensor.cols));
  tensor.memory->copy_to_host(staging.fetched.data(), from, staging.fetched.size() * sizeof(float));
  return staging.fetched.data();
}

void copy_rows(const void* from, std::int64_t from_stride, float* to, std::int64_t to_stride, std::int64_t rows,
               std::int64_t cols) {
  const bool contiguous = from_stride == cols && to_stride == cols;
  const auto bytes = static_cast<std::size_t>(contiguous ? rows * cols : cols) * sizeof(float);
  for (std::int64_t r = 0; r < (contiguous ? 1 : rows); ++r) {
    std::memcpy(to + r * to_stride, static_cast<const std::byte*>(from) + r * from_stride * std::int64_t{sizeof(float)},
                bytes);
  }
}

std::int64_t rows_per_piece(std::int64_t stride) {
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(kChunkBytes / sizeof(float)) / stride);
}

StridedTensor cut_single_row(const StridedTensor& tensor) {
  StridedTensor cut = tensor;
  if (tensor.rows == 1) {
    cut.rows = tensor.cols;
    cut.cols = cut.stride = 1;
  }
  return cut;
}

}  // namespace esmm::safetensors
