#include "tests/support/expanded_batch.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace esmm::test {
namespace {

Impression::Bag bag(const Bags& bags, std::size_t number) {
  Impression::Bag result;
  for (std::uint32_t i = bags.offsets[number]; i < bags.offsets[number + 1]; ++i) {
    result.emplace_back(bags.rows[i], bags.weights.empty() ? 1.0F : bags.weights[i]);
  }
  return result;
}

double weight(double value, double ids, const FieldInput& input) {
  if (input.pooling == Pooling::sum) return 1;
  if (input.pooling == Pooling::mean) return 1 / ids;
  if (input.pooling == Pooling::sqrtn) return 1 / std::sqrt(ids);
  if (input.transform == ValueTransform::log1p) return value < 0 ? -std::log(1 - value) : std::log(1 + value);
  if (input.transform == ValueTransform::clipped)
    return std::min<double>(std::max<double>(value, -input.clip), input.clip);
  return value;
}

Impression::Bag bag(const BagColumns& columns, std::size_t number, const FieldInput& input) {
  Impression::Bag result;
  const double ids = columns.offsets[number + 1] - columns.offsets[number];
  for (std::uint32_t i = columns.offsets[number]; i < columns.offsets[number + 1]; ++i) {
    const double value = columns.values.empty() ? 1.0 : columns.values[i];
    result.emplace_back(columns.rows[i] + input.first_row, static_cast<float>(weight(value, ids, input)));
  }
  return result;
}

void expect_well_formed(const Bags& bags, std::int64_t rows) {
  ASSERT_EQ(bags.count(), rows * bags.fields);
  ASSERT_FALSE(bags.offsets.empty());
  EXPECT_EQ(bags.offsets.front(), 0U);
  EXPECT_TRUE(std::is_sorted(bags.offsets.begin(), bags.offsets.end()));
  EXPECT_EQ(bags.offsets.back(), bags.rows.size());
  EXPECT_EQ(bags.weights.size(), bags.weights.empty() ? 0 : bags.rows.size());
}

}  // namespace

std::vector<Impression> expand(const HostBatch& batch) {
  const BatchView view = batch.view();
  const auto sample_fields = static_cast<std::size_t>(view.sample.fields);
  const auto common_fields = static_cast<std::size_t>(view.common.fields);
  std::vector<Impression> result;
  for (std::size_t u = 0; u + 1 < view.common_begin.size(); ++u) {
    for (std::size_t i = view.common_begin[u]; i < view.common_begin[u + 1]; ++i) {
      Impression& impression = result.emplace_back();
      impression.input_index = batch.input_index.at(i);
      impression.click = view.click[i];
      impression.conversion = view.conversion[i];
      for (std::size_t f = 0; f < sample_fields; ++f)
        impression.bags.push_back(bag(view.sample, i * sample_fields + f));
      for (std::size_t f = 0; f < common_fields; ++f)
        impression.bags.push_back(bag(view.common, u * common_fields + f));
      const float* dense = view.dense.row(static_cast<std::int64_t>(i));
      impression.dense.assign(dense, dense + view.dense.cols);
      if (batch.sample_id.size() > 0) impression.sample_id = batch.sample_id[i];
    }
  }
  return result;
}

std::vector<Impression> expand(const Block& block, const ModelInputs& inputs) {
  std::vector<Impression> result;
  const std::size_t columns = inputs.dense.size();
  for (std::size_t u = 0; u < block.common_rows(); ++u) {
    for (std::size_t i = block.common_begin[u]; i < block.common_begin[u + 1]; ++i) {
      Impression& impression = result.emplace_back();
      impression.input_index = block.input_index[i];
      impression.click = block.click[i];
      impression.conversion = block.conversion[i];
      for (std::size_t f = 0; f < inputs.fields.size(); ++f) {
        const bool sample = f < block.sample.fields;
        const std::size_t number =
            sample ? i * block.sample.fields + f : u * block.common.fields + f - block.sample.fields;
        impression.bags.push_back(bag(sample ? block.sample : block.common, number, inputs.fields[f]));
      }
      for (std::size_t c = 0; c < columns; ++c) {
        const double value = block.dense[i * columns + c];
        const double normalised = (value - inputs.dense[c].mean) * inputs.dense[c].inverse_std;
        impression.dense.push_back(std::isnan(value) ? 0.0F : static_cast<float>(normalised));
      }
      if (block.sample_id.size() > 0) impression.sample_id = block.sample_id[i];
    }
  }
  return result;
}

void expect_well_formed(const HostBatch& batch) {
  const BatchView view = batch.view();
  ASSERT_FALSE(view.common_begin.empty());
  EXPECT_EQ(view.common_begin.front(), 0U);
  EXPECT_EQ(std::adjacent_find(view.common_begin.begin(), view.common_begin.end(), std::greater_equal<>()),
            view.common_begin.end())
      << "a common row without impressions";
  EXPECT_EQ(view.common_begin.back(), view.click.size());
  EXPECT_EQ(view.conversion.size(), view.click.size());
  expect_well_formed(view.sample, view.rows());
  expect_well_formed(view.common, view.common_rows());
  EXPECT_EQ(view.impressions, view.rows());
  EXPECT_EQ(view.dense.rows, view.rows());
  EXPECT_EQ(batch.dense.size(), static_cast<std::size_t>(view.dense.rows * view.dense.cols));
}

void expect_same(const Impression& actual, const Impression& expected) {
  SCOPED_TRACE("impression " + std::to_string(expected.input_index));
  EXPECT_EQ(actual.input_index, expected.input_index);
  EXPECT_EQ(actual.click, expected.click);
  EXPECT_EQ(actual.conversion, expected.conversion);
  EXPECT_EQ(actual.sample_id, expected.sample_id);
  ASSERT_EQ(actual.bags.size(), expected.bags.size());
  for (std::size_t f = 0; f < expected.bags.size(); ++f) {
    ASSERT_EQ(actual.bags[f].size(), expected.bags[f].size()) << "field " << f;
    for (std::size_t i = 0; i < expected.bags[f].size(); ++i) {
      EXPECT_EQ(actual.bags[f][i].first, expected.bags[f][i].first) << "field " << f;
      EXPECT_FLOAT_EQ(actual.bags[f][i].second, expected.bags[f][i].second) << "field " << f;
    }
  }
  ASSERT_EQ(actual.dense.size(), expected.dense.size());
  for (std::size_t c = 0; c < expected.dense.size(); ++c) EXPECT_FLOAT_EQ(actual.dense[c], expected.dense[c]);
}

}  // namespace esmm::test
