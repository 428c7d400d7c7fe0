#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace esmm {

/// A row-major matrix that someone else owns: element (r, c) is `data[r * stride + c]`. Passed by value.
template <class T>
struct MatrixView {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;  // elements from one row to the next, >= cols

  constexpr MatrixView() = default;
  constexpr MatrixView(T* data_, std::int64_t rows_, std::int64_t cols_, std::int64_t stride_)
      : data(data_), rows(rows_), cols(cols_), stride(stride_) {}
  constexpr MatrixView(T* data_, std::int64_t rows_, std::int64_t cols_) : MatrixView(data_, rows_, cols_, cols_) {}

  [[nodiscard]] constexpr T& operator()(std::int64_t r, std::int64_t c) const { return data[r * stride + c]; }
  [[nodiscard]] constexpr T* row(std::int64_t r) const { return data + r * stride; }
  [[nodiscard]] constexpr bool empty() const { return rows == 0 || cols == 0; }
  /// The first `count` rows.
  [[nodiscard]] constexpr MatrixView top(std::int64_t count) const { return {data, count, cols, stride}; }
  /// Columns [begin, begin + count).
  [[nodiscard]] constexpr MatrixView columns(std::int64_t begin, std::int64_t count) const {
    return {data + begin, rows, count, stride};
  }
  constexpr operator MatrixView<const T>() const  // NOLINT(google-explicit-constructor): T* -> const T*
      requires(!std::is_const_v<T>) {
    return {data, rows, cols, stride};
  }
};

}  // namespace esmm
