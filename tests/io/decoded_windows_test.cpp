#include "io/decoded_windows.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <vector>

#include "io/pack.hpp"
#include "tests/support/memory_log.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

/// A packed dataset of several blocks, used without threads.
struct Dataset {
  Dataset() {
    test::RandomLogShape shape;
    shape.common_rows = 900;
    shape.impressions = 20'000;
    PackOptions options;
    options.min_count = 1;
    options.threads = 1;
    test::MemoryLog log = test::random_log(shape);
    pack(log, directory / "packed", options);
    packed = PackedDataset::open(directory / "packed");
    inputs.fields.resize(packed->schema().fields.size());
    inputs.dense.resize(packed->schema().dense.size());
  }
  test::TemporaryDirectory directory;
  std::shared_ptr<const PackedDataset> packed;
  ModelInputs inputs;
};
const Dataset& dataset() {
  static const Dataset instance;
  return instance;
}

/// `window_bytes` of 1: a window holds one batch, or one block that is larger.
DecodedWindows windows(std::uint64_t window_bytes) {
  LoaderOptions options;
  options.batch_size = 700;
  options.window_bytes = window_bytes;
  return {dataset().packed, dataset().inputs, options, {}};
}

/// Does one job after the other until there is none; returns the windows that became ready.
std::set<std::size_t> decode_all(DecodedWindows& windows, std::int64_t next_batch) {
  std::set<std::size_t> ready;
  while (std::optional<DecodedWindows::Job> job = windows.take_job(next_batch)) {
    windows.decode(*job);
    if (!windows.finish(*job)) continue;
    windows.order_units(job->window);
    windows.declare_ready(job->window);
    ready.insert(job->window);
  }
  return ready;
}

TEST(DecodedWindows, HoldsABatchOnceItsWindowIsReadyAndNoSooner) {
  DecodedWindows one = windows(1ULL << 30);
  one.start(0, 0);
  std::vector<DecodedWindows::Job> jobs;
  while (std::optional<DecodedWindows::Job> job = one.take_job(0)) jobs.push_back(std::move(*job));
  ASSERT_EQ(jobs.size(), dataset().packed->block_count());
  ASSERT_GT(jobs.size(), 2U);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_FALSE(one.holds(0));
    one.decode(jobs[i]);
    EXPECT_EQ(one.finish(jobs[i]), i + 1 == jobs.size());
  }
  one.order_units(0);
  EXPECT_FALSE(one.holds(0));
  one.declare_ready(0);
  EXPECT_TRUE(one.holds(0));
  EXPECT_TRUE(one.holds(one.batches_per_epoch() - 1));
}

TEST(DecodedWindows, DecodesTwoWindowsAheadAndGoesOnWhenTheFirstIsUsedUp) {
  DecodedWindows small = windows(1);
  small.start(0, 0);
  EXPECT_EQ(decode_all(small, 0), (std::set<std::size_t>{0, 1}));
  std::vector<Unit> units;
  std::vector<Piece> pieces;
  std::size_t newest = 1;
  std::uint64_t impressions = 0;
  for (std::int64_t batch = 0; batch < small.batches_per_epoch(); ++batch) {
    ASSERT_TRUE(small.holds(batch)) << batch;
    small.cut(batch, units, pieces);
    for (const Piece& piece : pieces) impressions += piece.end - piece.begin;
    EXPECT_FALSE(small.take_job(batch + 1)) << "no room";
    if (!small.finish_batch(batch)) continue;
    for (const std::size_t window : decode_all(small, batch + 1)) EXPECT_EQ(window, ++newest);
  }
  EXPECT_GT(newest, 2U);
  EXPECT_EQ(impressions, 20'000U);
}

TEST(DecodedWindows, KeepsItsBlocksDecodedBetweenEpochsWhereAllFit) {
  for (const bool fit : {true, false}) {
    DecodedWindows some = windows(fit ? 1ULL << 30 : 1);
    some.start(0, 0);
    (void)decode_all(some, 0);
    some.start(1, 0);
    const std::optional<DecodedWindows::Job> job = some.take_job(0);
    ASSERT_TRUE(job);
    EXPECT_EQ(job->decoded, fit);
    EXPECT_TRUE(job->block) << "its memory is used again";
  }
}

TEST(DecodedWindows, StartsAtAnyBatchWithoutTheWindowsBefore) {
  DecodedWindows small = windows(1);
  const std::int64_t middle = small.batches_per_epoch() / 2;
  small.start(0, middle);
  const std::set<std::size_t> ready = decode_all(small, middle);
  EXPECT_EQ(ready.size(), 2U);
  EXPECT_GT(*ready.begin(), 0U);
  EXPECT_TRUE(small.holds(middle));
  EXPECT_FALSE(small.holds(0));
}

}  // namespace
}  // namespace esmm
