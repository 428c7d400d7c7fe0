#include "io/batch_assembly.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/error.hpp"

namespace esmm {
namespace {

// ---- Inputs -> weights ---------------------------------------------------------------------------------------------

float transformed(float value, const FieldInput& input) {
  switch (input.transform) {
    case ValueTransform::raw:
      return value;
    case ValueTransform::log1p:
      return std::copysign(std::log1p(std::abs(value)), value);
    case ValueTransform::clipped:
      return std::clamp(value, -input.clip, input.clip);
  }
  return value;
}

/// Is every weight of this field 1, whatever its bags hold?
bool unit_weights(const FieldInput& input, bool has_values) {
  if (input.pooling == Pooling::sum) return true;
  return input.pooling == Pooling::weighted_sum && !has_values && transformed(1.0F, input) == 1.0F;
}

/// Replaces the values of one bag by its weights.
void weigh(std::span<float> bag, const FieldInput& input) {
  const auto ids = static_cast<float>(bag.size());
  switch (input.pooling) {
    case Pooling::weighted_sum:
      if (input.transform == ValueTransform::raw) return;
      for (float& value : bag) value = transformed(value, input);
      return;
    case Pooling::sum:
      std::fill(bag.begin(), bag.end(), 1.0F);
      return;
    case Pooling::mean:
      std::fill(bag.begin(), bag.end(), 1.0F / ids);
      return;
    case Pooling::sqrtn:
      std::fill(bag.begin(), bag.end(), 1.0F / std::sqrt(ids));
      return;
  }
}

void apply_inputs(BagColumns& bags, std::span<const FieldInput> inputs) {
  const bool has_values = !bags.values.empty();
  const bool all_one = std::all_of(inputs.begin(), inputs.end(),
                                   [&](const FieldInput& input) { return unit_weights(input, has_values); });
  if (all_one) {
    bags.values.clear();
  } else if (!has_values) {
    bags.values.assign(bags.rows.size(), 1.0F);
  }
  std::uint32_t begin = 0;
  std::size_t field = 0;
  for (std::size_t bag = 1; bag < bags.offsets.size(); ++bag) {
    const std::uint32_t end = bags.offsets[bag];
    for (std::uint32_t i = begin; i < end; ++i) bags.rows[i] += inputs[field].first_row;
    if (!all_one && begin != end) weigh(std::span(bags.values).subspan(begin, end - begin), inputs[field]);
    begin = end;
    if (++field == inputs.size()) field = 0;
  }
}

void normalise(std::vector<float>& dense, std::span<const DenseInput> inputs) {
  for (std::size_t first = 0; first < dense.size(); first += inputs.size()) {
    for (std::size_t column = 0; column < inputs.size(); ++column) {
      float& value = dense[first + column];
      value = std::isnan(value) ? 0.0F : (value - inputs[column].mean) * inputs[column].inverse_std;
    }
  }
}

// ---- Assembly ------------------------------------------------------------------------------------------------------

/// Writes consecutive ranges of elements into a vector of known final size. Not resized through zero: what the vector
/// held before is overwritten, which is cheaper than clearing it for every batch.
template <class T>
class Output {
 public:
  Output(std::pmr::vector<T>& to, std::size_t size) {
    to.resize(size);
    next_ = to.data();
  }
  void copy(const std::vector<T>& from, std::size_t begin, std::size_t end) {
    if (begin == end) return;
    std::memcpy(next_, from.data() + begin, (end - begin) * sizeof(T));
    next_ += end - begin;
  }
  void fill(std::size_t count, T value) { next_ = std::fill_n(next_, count, value); }
  void push(T value) { *next_++ = value; }

 private:
  T* next_ = nullptr;
};

/// Sizes of one side of a batch.
struct BagTotals {
  std::size_t rows = 0, bags = 0, ids = 0;
  bool weighted = false, moved = false;
  void add(const BagColumns& bags_of_block, std::size_t first_row, std::size_t end_row) {
    const std::size_t first = first_row * bags_of_block.fields;
    const std::size_t end = end_row * bags_of_block.fields;
    rows += end_row - first_row;
    bags += end - first;
    ids += bags_of_block.offsets[end] - bags_of_block.offsets[first];
    weighted |= !bags_of_block.values.empty();
    moved |= bags_of_block.moved_to.has_value();
  }
};

/// One side of the batch under construction.
class BagOutput {
 public:
  BagOutput(const BagTotals& totals, std::pmr::vector<std::uint32_t>& offsets, std::pmr::vector<std::uint32_t>& rows,
            std::pmr::vector<float>& weights, std::pmr::vector<std::uint32_t>& places)
      : offsets_(offsets, totals.bags + 1),
        rows_(rows, totals.moved ? 0 : totals.ids),
        places_(places, totals.moved ? totals.rows : 0),
        weights_(weights, totals.weighted ? totals.ids : 0),
        weighted_(totals.weighted) {
    offsets_.push(0);
  }
  void copy_rows(const BagColumns& from, std::size_t first_row, std::size_t end_row) {
    const std::size_t first = first_row * from.fields;
    const std::size_t end = end_row * from.fields;
    const std::uint32_t id_begin = from.offsets[first];
    const std::uint32_t id_end = from.offsets[end];
    const std::uint32_t shift = ids_ - id_begin;  // modulo 2^32, as is the addition below
    for (std::size_t bag = first + 1; bag <= end; ++bag) offsets_.push(from.offsets[bag] + shift);
    if (from.moved_to) {
      for (std::size_t row = first_row; row < end_row; ++row) {
        places_.push(*from.moved_to + from.offsets[row * from.fields]);
      }
    } else {
      rows_.copy(from.rows, id_begin, id_end);
    }
    if (!from.values.empty()) {
      weights_.copy(from.values, id_begin, id_end);
    } else if (weighted_) {
      weights_.fill(id_end - id_begin, 1.0F);
    }
    ids_ += id_end - id_begin;
  }

 private:
  Output<std::uint32_t> offsets_, rows_, places_;
  Output<float> weights_;
  bool weighted_;
  std::uint32_t ids_ = 0;
};

struct Totals {
  std::size_t impressions = 0, common_rows = 0, dense = 0;
  BagTotals sample, common;
};

bool same_common_row(const Piece& a, const Piece& b) {
  return a.block == b.block && a.common_row == b.common_row;
}

Totals measure(std::span<const Piece> pieces) {
  Totals totals;
  const Piece* previous = nullptr;
  for (const Piece& piece : pieces) {
    const Block& block = *piece.block;
    totals.impressions += piece.end - piece.begin;
    totals.sample.add(block.sample, piece.begin, piece.end);
    totals.dense += block.dense.size() / block.impressions() * (piece.end - piece.begin);
    if (previous == nullptr || !same_common_row(*previous, piece)) {
      ++totals.common_rows;
      totals.common.add(block.common, piece.common_row, piece.common_row + 1);
    }
    previous = &piece;
  }
  if (std::max(totals.sample.ids, totals.common.ids) > std::numeric_limits<std::uint32_t>::max()) {
    throw usage_error("a batch of {} impressions holds more than 2^32 ids. Lower --batch-size.", totals.impressions);
  }
  return totals;
}

void append_input_index(const std::vector<std::uint64_t>& from, std::size_t begin, std::size_t end,
                        std::vector<std::uint64_t>& to) {
  to.insert(to.end(), from.begin() + static_cast<std::ptrdiff_t>(begin),
            from.begin() + static_cast<std::ptrdiff_t>(end));
}

void append_sample_ids(const StringColumn& from, std::size_t begin, std::size_t end, StringColumn& to) {
  for (std::size_t i = begin; i < end; ++i) to.push_back(from[i]);
}

}  // namespace

void apply_inputs(Block& block, const ModelInputs& inputs) {
  const std::span fields(inputs.fields);
  apply_inputs(block.sample, fields.first(block.sample.fields));
  apply_inputs(block.common, fields.subspan(block.sample.fields));
  normalise(block.dense, inputs.dense);
}

void assemble(std::span<const Piece> pieces, const LoaderOptions& options, HostBatch& batch) {
  const Totals totals = measure(pieces);
  const std::size_t dense_columns = totals.dense / totals.impressions;
  batch.sample_fields = pieces[0].block->sample.fields;
  batch.common_fields = pieces[0].block->common.fields;
  batch.dense_columns = static_cast<std::int64_t>(dense_columns);
  BagOutput sample(totals.sample, batch.sample_offsets, batch.sample_rows, batch.sample_weights, batch.sample_places);
  BagOutput common(totals.common, batch.common_offsets, batch.common_rows, batch.common_weights, batch.common_places);
  Output<std::uint32_t> common_begin(batch.common_begin, totals.common_rows + 1);
  Output<float> dense(batch.dense, totals.dense);
  Output<std::uint8_t> click(batch.click, totals.impressions);
  Output<std::uint8_t> conversion(batch.conversion, totals.impressions);
  batch.input_index.clear();
  batch.sample_id.clear();

  std::uint32_t impressions = 0;
  const Piece* previous = nullptr;
  for (const Piece& piece : pieces) {
    const Block& block = *piece.block;
    if (previous == nullptr || !same_common_row(*previous, piece)) {
      common_begin.push(impressions);
      common.copy_rows(block.common, piece.common_row, piece.common_row + 1);
    }
    sample.copy_rows(block.sample, piece.begin, piece.end);
    dense.copy(block.dense, piece.begin * dense_columns, piece.end * dense_columns);
    click.copy(block.click, piece.begin, piece.end);
    conversion.copy(block.conversion, piece.begin, piece.end);
    if (options.with_input_index) append_input_index(block.input_index, piece.begin, piece.end, batch.input_index);
    if (options.with_sample_ids) append_sample_ids(block.sample_id, piece.begin, piece.end, batch.sample_id);
    impressions += piece.end - piece.begin;
    previous = &piece;
  }
  common_begin.push(impressions);
}

BatchView HostBatch::view() const {
  BatchView view;
  view.sample = {sample_offsets, sample_rows, sample_weights, sample_fields};
  view.common = {common_offsets, common_rows, common_weights, common_fields};
  view.common_begin = common_begin;
  view.dense = {dense.data(), impressions(), dense_columns};
  view.click = click;
  view.conversion = conversion;
  view.impressions = impressions();
  return view;
}

}  // namespace esmm
