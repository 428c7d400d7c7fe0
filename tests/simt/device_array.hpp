#pragma once
#include <cuda_runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/simt/simt.hpp"

namespace simt::test {

/// Device memory of a test, copied synchronously.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::int64_t size) : size_(size) { EXPECT_EQ(cudaMalloc(&data_, bytes()), cudaSuccess); }
  explicit DeviceArray(const std::vector<T>& from) : DeviceArray(static_cast<std::int64_t>(from.size())) {
    EXPECT_EQ(cudaMemcpy(data_, from.data(), bytes(), cudaMemcpyHostToDevice), cudaSuccess);
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(size_) * sizeof(T); }
  /// Waits for all streams.
  [[nodiscard]] std::vector<T> host() const {
    std::vector<T> result(static_cast<std::size_t>(size_));
    cudaDeviceSynchronize();
    EXPECT_EQ(cudaMemcpy(result.data(), data_, bytes(), cudaMemcpyDeviceToHost), cudaSuccess);
    return result;
  }

 private:
  T* data_ = nullptr;
  std::int64_t size_;
};

/// 0, 1, 2, …
inline std::vector<int> counting(int size) {
  std::vector<int> result(static_cast<std::size_t>(size));
  for (int i = 0; i < size; ++i) result[static_cast<std::size_t>(i)] = i;
  return result;
}

/// Synchronises; the message of the fault, or "".
inline std::string fault_of(const std::function<void()>& enqueue) {
  try {
    enqueue();
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  } catch (const Fault& fault) {
    return fault.what();
  }
  return "";
}

}  // namespace simt::test
