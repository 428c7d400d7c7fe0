#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.hpp"
#include "tests/support/random_bags.hpp"

namespace esmm::test {

// Test data in a backend's memory, which need not be the host's.

template <class T>
[[nodiscard]] Buffer<T> upload(Backend& backend, const std::vector<T>& values) {
  Buffer<T> buffer(backend.memory(), static_cast<std::int64_t>(values.size()));
  buffer.copy_from_host(values);
  return buffer;
}

template <class T>
[[nodiscard]] std::vector<T> download(const Buffer<T>& buffer) {
  std::vector<T> values(static_cast<std::size_t>(buffer.size()));
  buffer.copy_to_host(values);
  return values;
}

template <class T>
[[nodiscard]] std::vector<T> download(Backend& backend, std::span<const T> values) {
  std::vector<T> copy(values.size());
  if (!copy.empty()) backend.memory().copy_to_host(copy.data(), values.data(), values.size_bytes());
  return copy;
}

/// A matrix with its own memory and a stride of its own.
struct BackendMatrix {
  BackendMatrix(Backend& backend, std::int64_t rows_, std::int64_t cols_, std::int64_t stride_)
      : buffer(backend.memory(), rows_ * stride_), rows(rows_), cols(cols_), stride(stride_) {}
  BackendMatrix(Backend& backend, std::int64_t rows_, std::int64_t cols_, std::int64_t stride_,
                const std::vector<float>& values)
      : buffer(upload(backend, values)), rows(rows_), cols(cols_), stride(stride_) {}

  [[nodiscard]] MatrixView<float> view() const { return {buffer.data(), rows, cols, stride}; }

  Buffer<float> buffer;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t stride;
};

struct BackendBags {
  BackendBags(Backend& backend, const OwnedBags& bags)
      : offsets(upload(backend, bags.offsets)),
        rows(upload(backend, bags.rows)),
        weights(upload(backend, bags.weights)),
        fields(bags.fields) {}

  [[nodiscard]] Bags view() const { return {offsets.span(), rows.span(), weights.span(), fields}; }

  Buffer<std::uint32_t> offsets;
  Buffer<std::uint32_t> rows;
  Buffer<float> weights;
  std::int64_t fields;
};

}  // namespace esmm::test
