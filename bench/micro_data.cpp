#include "bench/micro_data.hpp"

#include <algorithm>
#include <set>

namespace esmm::bench {

namespace {

TowerShape tower_shape(const BatchShape& shape) {
  const std::int64_t common = shape.common_rows > 0 ? shape.common_fields * shape.dim : 0;
  return {common, shape.sample_fields * shape.dim, shape.hidden, shape.activation, 0.0F};
}

template <class T>
Buffer<T> in_memory(Memory& memory, const std::vector<T>& values) {
  Buffer<T> buffer(memory, static_cast<std::int64_t>(values.size()));
  buffer.copy_from_host(values);
  return buffer;
}

Buffer<float> random_floats(Memory& memory, std::int64_t count, std::mt19937& random) {
  std::uniform_real_distribution<float> value(-0.1F, 0.1F);
  std::vector<float> values(static_cast<std::size_t>(count));
  std::generate(values.begin(), values.end(), [&] { return value(random); });
  return in_memory(memory, values);
}

Buffer<std::uint8_t> random_labels(Memory& memory, std::int64_t count, double rate, std::mt19937& random) {
  std::bernoulli_distribution positive(rate);
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(count));
  std::generate(labels.begin(), labels.end(), [&] { return positive(random) ? 1 : 0; });
  return in_memory(memory, labels);
}

/// As many ids in every bag, but for a rest spread evenly.
std::vector<std::uint32_t> even_offsets(std::int64_t pieces, double each) {
  std::vector<std::uint32_t> offsets;
  for (std::int64_t i = 0; i <= pieces; ++i)
    offsets.push_back(static_cast<std::uint32_t>(static_cast<double>(i) * each));
  return offsets;
}

/// Uniform: the worst case for the caches.
std::vector<std::uint32_t> random_rows(std::uint32_t count, std::int64_t table_rows, std::mt19937& random) {
  std::uniform_int_distribution<std::uint32_t> row(0, static_cast<std::uint32_t>(table_rows - 1));
  std::vector<std::uint32_t> rows(count);
  std::generate(rows.begin(), rows.end(), [&] { return row(random); });
  return rows;
}

}  // namespace

MicroData::MicroData(Backend& backend, const BatchShape& shape, OptimizerKind optimizer)
    : parameters(backend.memory(), tower_shape(shape)),
      gradients(backend.memory(), tower_shape(shape)),
      workspace(backend.memory()),
      sorted(backend.make_sorted_ids()),
      shape_(shape),
      towers_(tower_shape(shape)),
      optimizer_(optimizer),
      stride_(backend.memory().row_stride(shape.dim)),
      state_stride_(backend.memory().row_stride(state_width(optimizer, shape.dim))) {
  Memory& memory = backend.memory();
  std::mt19937 random(1);
  const auto sample_offsets = even_offsets(shape.impressions * shape.sample_fields, shape.sample_ids);
  const auto common_offsets = even_offsets(shape.common_rows * shape.common_fields, shape.common_ids);
  const auto sample_rows = random_rows(sample_offsets.back(), shape.table_rows, random);
  const auto common_rows = random_rows(common_offsets.back(), shape.table_rows, random);
  std::set<std::uint32_t> distinct(sample_rows.begin(), sample_rows.end());
  distinct.insert(common_rows.begin(), common_rows.end());
  distinct_rows_ = static_cast<std::int64_t>(distinct.size());
  sample_offsets_ = in_memory(memory, sample_offsets);
  common_offsets_ = in_memory(memory, common_offsets);
  sample_rows_ = in_memory(memory, sample_rows);
  common_rows_ = in_memory(memory, common_rows);
  const auto per_user =
      static_cast<double>(shape.impressions) / static_cast<double>(std::max<std::int64_t>(1, shape.common_rows));
  std::vector<std::uint32_t> begin = even_offsets(shape.common_rows, per_user);
  if (shape.common_rows > 0) begin.back() = static_cast<std::uint32_t>(shape.impressions);
  common_begin_ = in_memory(memory, begin);
  click_ = random_labels(memory, shape.impressions, 0.04, random);
  conversion_ = random_labels(memory, shape.impressions, 0.01, random);
  table_ = random_floats(memory, shape.table_rows * stride_, random);
  state_ = Buffer<float>(memory, shape.table_rows * state_stride_);
  for (auto [buffer, size] :
       {std::pair{&pooled_sample_, shape.impressions * sample_columns()},
        std::pair{&pooled_common_, shape.common_rows * common_columns()},
        std::pair{&dsample_, shape.impressions * sample_columns()},
        std::pair{&dcommon_, shape.common_rows * common_columns()}, std::pair{&logits_, shape.impressions * kTowers},
        std::pair{&dlogits_, shape.impressions * kTowers}}) {
    *buffer = random_floats(memory, size, random);
  }
  const auto count = static_cast<std::int64_t>(parameters.flat().size());
  const Buffer<float> initial = random_floats(memory, count, random);
  backend.copy(parameters.flat().data(), initial.data(), initial.bytes());
  dense_state = Buffer<float>(memory, state_width(optimizer, count));
  backend.synchronise();
}

EmbeddingArena MicroData::arena() const {
  return {{table_.data(), shape_.table_rows, shape_.dim, stride_},
          {state_.data(), shape_.table_rows, state_columns(), state_stride_}};
}

OptimizerStep MicroData::step() const {
  OptimizerStep step;
  step.config.kind = optimizer_;
  step.config.initial_accumulator = 0.1F;
  step.step = 1000;
  return step;
}

}  // namespace esmm::bench
