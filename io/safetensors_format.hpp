#pragma once
#include <xxhash.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "io/safetensors.hpp"
#include "io/sealed_json.hpp"

/// What the writer and the reader of safetensors files both know: dtypes, checksums, and how rows with a stride pass
/// through the host.
namespace esmm::safetensors {

inline constexpr std::string_view kChecksumPrefix = "xxh3:";
inline constexpr std::size_t kChunkBytes = 4 << 20;

/// Bytes of an element of a safetensors dtype; 0 when there is no such dtype.
[[nodiscard]] std::uint64_t element_bytes(std::string_view dtype);
/// Bytes of a tensor; false when the shape is negative or the product overflows.
[[nodiscard]] bool tensor_bytes(std::string_view dtype, std::span<const std::int64_t> shape, std::uint64_t& bytes);

/// XXH3-64 of pieces.
class Hasher {
 public:
  Hasher() : state_(XXH3_createState(), &XXH3_freeState) { XXH3_64bits_reset(state_.get()); }
  void add(std::span<const std::byte> piece) { XXH3_64bits_update(state_.get(), piece.data(), piece.size()); }
  [[nodiscard]] std::string digest() const { return hex64(XXH3_64bits_digest(state_.get())); }

 private:
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_;
};

/// The header's own checksum is of the header with zeros in its place.
inline constexpr std::string_view kSealMark = "\"xxh3\":\"", kSealZeros = "0000000000000000";
[[nodiscard]] std::string seal_of(std::string_view header_with_zeros);
/// Puts the zeros into its place; null when the header has no checksum.
[[nodiscard]] std::optional<std::string> take_seal(std::string& header);

/// Host memory that pieces of tensors pass through.
struct Staging {
  std::vector<float> fetched;  // from another memory, with the padding
  std::vector<float> packed;   // without
};

/// Rows [first, first + count) of the tensor on the host, with their stride; fetched when they are elsewhere.
[[nodiscard]] const float* rows_on_host(const StridedTensor& tensor, std::int64_t first, std::int64_t count,
                                        Staging& staging);
/// `rows` rows of `cols` floats from one stride to another, both on the host; in a file floats need not be aligned.
void copy_rows(const void* from, std::int64_t from_stride, float* to, std::int64_t to_stride, std::int64_t rows,
               std::int64_t cols);
/// How many rows with this stride are moved at a time.
[[nodiscard]] std::int64_t rows_per_piece(std::int64_t stride);
/// A long vector is cut as well: its elements become rows.
[[nodiscard]] StridedTensor cut_single_row(const StridedTensor& tensor);

}  // namespace esmm::safetensors
