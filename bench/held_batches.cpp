#include "bench/held_batches.hpp"

#include <utility>

namespace esmm::bench {

HeldBatches::HeldBatches(Backend& backend, std::vector<HostBatch> batches) : host_(std::move(batches)) {
  for (const HostBatch& batch : host_) {
    const BatchView from = batch.view();
    BatchView to = from;
    to.sample = copy(backend, from.sample);
    to.common = copy(backend, from.common);
    to.common_begin = copy(backend, integers_, from.common_begin);
    to.dense.data = copy(backend, floats_, std::span<const float>(batch.dense)).data();
    to.click = copy(backend, labels_, from.click);
    to.conversion = copy(backend, labels_, from.conversion);
    views_.push_back(to);
  }
}

template <class T>
std::span<const T> HeldBatches::copy(Backend& backend, std::vector<Buffer<T>>& kept, std::span<const T> from) {
  Buffer<T>& buffer = kept.emplace_back(backend.memory(), static_cast<std::int64_t>(from.size()));
  buffer.copy_from_host(from);
  return buffer.span();
}

Bags HeldBatches::copy(Backend& backend, const Bags& bags) {
  return {copy(backend, integers_, bags.offsets), copy(backend, integers_, bags.rows),
          copy(backend, floats_, bags.weights), bags.fields};
}

std::int64_t HeldBatches::impressions() const {
  std::int64_t sum = 0;
  for (const BatchView& view : views_) sum += view.impressions;
  return sum;
}

std::int64_t HeldBatches::common_rows() const {
  std::int64_t sum = 0;
  for (const BatchView& view : views_) sum += view.common_rows();
  return sum;
}

std::int64_t HeldBatches::ids() const {
  std::int64_t sum = 0;
  for (const BatchView& view : views_) sum += view.sample.ids() + view.common.ids();
  return sum;
}

double HeldBatches::ids_of_impressions() const {
  double sum = 0.0;
  for (const HostBatch& batch : host_) {
    const BatchView view = batch.view();
    sum += static_cast<double>(view.sample.ids());
    for (std::int64_t u = 0; u < view.common_rows() && view.common.fields > 0; ++u) {
      const auto row = static_cast<std::size_t>(u), fields = static_cast<std::size_t>(view.common.fields);
      const std::uint32_t ids = view.common.offsets[(row + 1) * fields] - view.common.offsets[row * fields];
      sum += static_cast<double>(ids) * (view.common_begin[row + 1] - view.common_begin[row]);
    }
  }
  return sum;
}

}  // namespace esmm::bench
