#include "engine/batch_feed.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "io/pack.hpp"
#include "tests/support/far_backend.hpp"
#include "tests/support/memory_log.hpp"
#include "tests/support/on_backend.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

using test::download;
using test::FarBackend;

LoaderOptions feed_options(std::int64_t batch_size) {
  LoaderOptions options;
  options.batch_size = batch_size;
  options.batches_ahead = 2;
  options.with_input_index = true;
  return options;
}

/// A random log of 150 users with 3000 impressions, packed.
struct PackedLog {
  PackedLog() {
    test::RandomLogShape shape;
    shape.common_rows = 150;
    shape.impressions = 3000;
    test::MemoryLog log = test::random_log(shape);
    PackOptions packing;
    packing.min_count = 1;
    packing.threads = 1;
    pack(log, directory / "packed", packing);
    dataset = PackedDataset::open(directory / "packed");
    for (std::size_t f = 0; f < dataset->schema().fields.size(); ++f) {
      inputs.fields.push_back({static_cast<std::uint32_t>(1000 * f)});
    }
    inputs.dense.assign(dataset->schema().dense.size(), {5.0F, 0.5F});
  }
  test::TemporaryDirectory directory;
  std::shared_ptr<const PackedDataset> dataset;
  ModelInputs inputs;
};

class BatchFeedTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { log_ = new PackedLog; }
  static void TearDownTestSuite() { delete log_; }

  /// A loader and a feed on a backend.
  struct Feeding {
    Feeding(Backend& backend, const LoaderOptions& options)
        : loader(log_->dataset, log_->inputs, BatchFeed::loader_options(backend, options)), feed(backend, loader) {}
    Feeding(Backend& backend, std::int64_t batch_size) : Feeding(backend, feed_options(batch_size)) {}
    Loader loader;
    BatchFeed feed;
  };
  /// The same with all ids in the backend's memory.
  struct ResidentFeeding {
    ResidentFeeding(Backend& backend, const ModelInputs& inputs, const LoaderOptions& options)
        : ids(backend.memory(), *log_->dataset, inputs, pool),
          loader(log_->dataset, inputs, BatchFeed::loader_options(backend, options), ids.take_blocks()),
          feed(backend, loader, &ids) {}
    ThreadPool pool{2};
    ResidentIds ids;
    Loader loader;
    BatchFeed feed;
  };

  static inline PackedLog* log_ = nullptr;
};

template <class T>
void expect_padded(const std::vector<T>& actual, const std::pmr::vector<T>& expected, T padding, const char* what) {
  ASSERT_GE(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    ASSERT_EQ(actual[i], i < expected.size() ? expected[i] : padding) << what << '[' << i << ']';
  }
}

template <class T>
void expect_begins_with(const std::vector<T>& actual, const std::pmr::vector<T>& expected, const char* what) {
  ASSERT_GE(actual.size(), expected.size()) << what;
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), actual.begin())) << what;
}

/// The batch in the backend's memory is the host's, padded as BatchView says.
void expect_padded_batch(Backend& backend, const BatchView& batch, const HostBatch& host, std::int64_t batch_size) {
  EXPECT_EQ(batch.impressions, host.impressions());
  EXPECT_EQ(batch.rows(), batch_size);
  EXPECT_EQ(batch.sample.count(), batch_size * host.sample_fields);
  EXPECT_EQ(batch.common.count(), batch.common_rows() * host.common_fields);
  EXPECT_LE(batch.common_rows(), batch_size);
  expect_padded(download(backend, batch.sample.offsets), host.sample_offsets, host.sample_offsets.back(), "offsets");
  expect_padded(download(backend, batch.common.offsets), host.common_offsets, host.common_offsets.back(), "offsets");
  expect_padded(download(backend, batch.common_begin), host.common_begin, host.common_begin.back(), "common_begin");
  expect_begins_with(download(backend, batch.sample.rows), host.sample_rows, "sample rows");
  expect_begins_with(download(backend, batch.common.rows), host.common_rows, "common rows");
  expect_begins_with(download(backend, batch.sample.weights), host.sample_weights, "sample weights");
  expect_begins_with(download(backend, batch.common.weights), host.common_weights, "common weights");
  EXPECT_EQ(batch.dense.rows, batch_size);
  EXPECT_EQ(batch.dense.stride, host.dense_columns);
  const std::span<const float> dense(batch.dense.data, static_cast<std::size_t>(batch_size * host.dense_columns));
  expect_padded(download(backend, dense), host.dense, 0.0F, "dense");
  expect_begins_with(download(backend, batch.click), host.click, "click");
  expect_begins_with(download(backend, batch.conversion), host.conversion, "conversion");
}

TEST(PaddedSize, IsEvenGrowsByAtMostAnEighthAndTakesFewValues) {
  std::set<std::int64_t> values;
  for (std::int64_t size = 1; size <= 100'000; ++size) {
    const std::int64_t padded = padded_size(size);
    ASSERT_GE(padded, size);
    ASSERT_EQ(padded % 2, 0);
    if (size >= 16) {
      ASSERT_LE(padded, size + size / 8 + 1) << size;
    }
    ASSERT_EQ(padded_size(padded), padded) << size;
    values.insert(padded);
  }
  EXPECT_LE(values.size(), 8U * 14U);
  EXPECT_EQ(padded_size(0), 0);
  EXPECT_EQ(padded_size(17), 18);
  EXPECT_EQ(padded_size(5000), 5120);
}

TEST_F(BatchFeedTest, GivesTheLoadersOwnBatchWhereTheHostsMemoryIsTheBackends) {
  const std::unique_ptr<Backend> backend = make_cpu_backend(1);
  Feeding feeding(*backend, 700);
  feeding.feed.start(0);
  int batches = 0;
  while (const BatchView* batch = feeding.feed.next()) {
    ++batches;
    EXPECT_EQ(batch->click.data(), feeding.feed.host().click.data());
    EXPECT_EQ(batch->rows(), feeding.feed.host().impressions());
  }
  EXPECT_EQ(batches, 5);
}

/// Two whole epochs and the end of a third are, batch by batch, those of a feed on the CPU.
template <class Expected, class Actual>
void expect_same_epochs(Backend& backend, Expected& expected, Actual& actual, std::int64_t batch_size) {
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    const std::int64_t first_batch = epoch == 2 ? 7 : 0;
    expected.feed.start(epoch, first_batch);
    actual.feed.start(epoch, first_batch);
    while (expected.feed.next() != nullptr) {
      const BatchView* batch = actual.feed.next();
      ASSERT_NE(batch, nullptr);
      EXPECT_EQ(actual.feed.host().input_index, expected.feed.host().input_index);
      expect_padded_batch(backend, *batch, expected.feed.host(), batch_size);
      if (testing::Test::HasFailure()) return;
    }
    EXPECT_EQ(actual.feed.next(), nullptr);
    EXPECT_EQ(actual.feed.next(), nullptr) << "and again";
  }
}

TEST_F(BatchFeedTest, UploadsEveryBatchPaddedToTheBatchSizeAndAFewOtherSizes) {
  const std::unique_ptr<Backend> cpu = make_cpu_backend(1);
  FarBackend far(1);
  constexpr std::int64_t kBatchSize = 130;
  Feeding expected(*cpu, kBatchSize), actual(far, kBatchSize);
  expect_same_epochs(far, expected, actual, kBatchSize);
}

TEST_F(BatchFeedTest, GathersResidentIdsIntoTheBatchesThatStreamingGives) {
  const std::unique_ptr<Backend> cpu = make_cpu_backend(1);
  constexpr std::int64_t kBatchSize = 130;
  for (const Order order : {Order::sequential, Order::by_common_row, Order::by_impression}) {
    FarBackend far(1);
    LoaderOptions each = feed_options(kBatchSize);
    each.order = order;
    each.with_input_index = false;  // resident blocks have none
    each.window_bytes = 1 << 16;    // many windows, which resident blocks must not change
    Feeding expected(*cpu, each);
    ResidentFeeding actual(far, log_->inputs, each);
    expect_same_epochs(far, expected, actual, kBatchSize);
    EXPECT_TRUE(actual.feed.host().sample_rows.empty()) << "ids are not assembled on the host";
    if (HasFailure()) return;
  }
}

TEST_F(BatchFeedTest, ResidentIdsWithoutWeightsTakeNoRoomForThem) {
  FarBackend far(1);
  ModelInputs inputs = log_->inputs;
  for (FieldInput& field : inputs.fields) field.pooling = Pooling::sum;
  ResidentFeeding feeding(far, inputs, feed_options(100));
  EXPECT_TRUE(feeding.ids.sample().weights.empty());
  EXPECT_FALSE(feeding.ids.sample().rows.empty());
  feeding.feed.start(0);
  const BatchView* batch = feeding.feed.next();
  ASSERT_NE(batch, nullptr);
  EXPECT_TRUE(batch->sample.weights.empty() && batch->common.weights.empty());
}

TEST_F(BatchFeedTest, ThePlaceOfABatchDependsOnItsReplayKeyAlone) {
  FarBackend far(1);
  for (const std::int64_t batch_size : {1, 40, 333, 5000}) {
    Feeding feeding(far, batch_size);
    std::map<std::string, BatchView> by_key;
    for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
      feeding.feed.start(epoch);
      while (const BatchView* batch = feeding.feed.next()) {
        const ReplayKey key = replay_key(*batch);
        EXPECT_EQ(key.impressions, std::min<std::int64_t>(batch_size, 3000));
        EXPECT_TRUE(key.sample_ids == 0 || key.sample_ids % 2 == 1) << "the log has weights";
        const std::string name = std::to_string(key.common_rows) + ' ' + std::to_string(key.sample_ids) + ' ' +
                                 std::to_string(key.common_ids);
        const BatchView& first = by_key.emplace(name, *batch).first->second;
        EXPECT_EQ(batch->sample.offsets.data(), first.sample.offsets.data());
        EXPECT_EQ(batch->common.weights.data(), first.common.weights.data());
        EXPECT_EQ(batch->common.weights.size(), first.common.weights.size());
        EXPECT_EQ(batch->dense.data, first.dense.data);
      }
    }
    EXPECT_LE(by_key.size(), 60U) << batch_size;
  }
}

TEST_F(BatchFeedTest, MayBeStartedAnewOrDestroyedInTheMiddleOfAnEpoch) {
  FarBackend far(1);
  Feeding feeding(far, 100);
  std::vector<std::uint64_t> first;
  for (int round = 0; round < 5; ++round) {
    feeding.feed.start(0);
    for (int batch = 0; batch <= round; ++batch) {
      ASSERT_NE(feeding.feed.next(), nullptr);
      if (batch == 0 && round == 0) first = feeding.feed.host().input_index;
      if (batch == 0) {
        EXPECT_EQ(feeding.feed.host().input_index, first);
      }
    }
  }
}

}  // namespace
}  // namespace esmm
