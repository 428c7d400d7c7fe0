#pragma once
#include <cstdint>
#include <vector>

#include "io/loader.hpp"
#include "kernels/backend.hpp"

namespace esmm::bench {

/// Batches in the host's and in the backend's memory, so that steps can be timed without loading. Not padded.
class HeldBatches {
 public:
  HeldBatches(Backend& backend, std::vector<HostBatch> batches);

  [[nodiscard]] const std::vector<HostBatch>& host() const { return host_; }
  /// The same in the backend's memory.
  [[nodiscard]] const std::vector<BatchView>& views() const { return views_; }
  [[nodiscard]] std::int64_t impressions() const;
  [[nodiscard]] std::int64_t common_rows() const;
  /// Embedding rows that are read per pass: each common row's ids once.
  [[nodiscard]] std::int64_t ids() const;
  /// Ids of all impressions, a common row's counted for each of its impressions.
  [[nodiscard]] double ids_of_impressions() const;

 private:
  template <class T>
  std::span<const T> copy(Backend& backend, std::vector<Buffer<T>>& kept, std::span<const T> from);
  Bags copy(Backend& backend, const Bags& bags);

  std::vector<HostBatch> host_;
  std::vector<Buffer<std::uint32_t>> integers_;
  std::vector<Buffer<float>> floats_;
  std::vector<Buffer<std::uint8_t>> labels_;
  std::vector<BatchView> views_;
};

}  // namespace esmm::bench
