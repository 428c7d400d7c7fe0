#include "bench/micro_data.hpp"

#include <algorithm>
#include <set>

namespace esmm::bench {

namespace {

TowerShape tower_shape(const MicroShape& shape) {
  const std::int64_t common = shape.common_rows > 0 ? shape.common_fields * shape.dim : 0;
  return {common, shape.sample_fields * shape.dim, shape.hidden, shape.activation, 0.0F};
}

template <class Values, class T = typename Values::value_type>
Buffer<T> in_memory(Memory& memory, const Values& values) {
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

}  // namespace

MicroData::MicroData(Backend& backend, const MicroShape& shape, OptimizerKind optimizer)
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
  const HostBatch batch = random_batch(shape, random);
  std::set<std::uint32_t> distinct(batch.sample_rows.begin(), batch.sample_rows.end());
  distinct.insert(batch.common_rows.begin(), batch.common_rows.end());
  distinct_rows_ = static_cast<std::int64_t>(distinct.size());
  sample_offsets_ = in_memory(memory, batch.sample_offsets);
  common_offsets_ = in_memory(memory, batch.common_offsets);
  sample_rows_ = in_memory(memory, batch.sample_rows);
  common_rows_ = in_memory(memory, batch.common_rows);
  common_begin_ = in_memory(memory, batch.common_begin);
  click_ = in_memory(memory, batch.click);
  conversion_ = in_memory(memory, batch.conversion);
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
