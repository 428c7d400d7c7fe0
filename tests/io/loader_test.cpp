#include "io/loader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <set>

#include "io/pack.hpp"
#include "kernels/error.hpp"
#include "tests/support/expanded_batch.hpp"
#include "tests/support/memory_log.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

using test::expand;
using test::Impression;
using test::MemoryLog;
using ::testing::HasSubstr;

constexpr std::uint64_t plenty = 1ULL << 30;  // a window that holds everything
constexpr Order every_order[] = {Order::sequential, Order::by_common_row, Order::by_impression};

/// A packed dataset of several blocks, with what each of its impressions must look like in a batch.
struct LoadedLog {
  explicit LoadedLog(MemoryLog log_) : log(std::move(log_)) {
    PackOptions options;
    options.min_count = 1;
    options.threads = 1;
    pack(log, path, options);
    packed = PackedDataset::open(path);
    for (std::size_t f = 0; f < packed->schema().fields.size(); ++f) {
      inputs.fields.push_back({static_cast<std::uint32_t>(1000 * f)});
    }
    inputs.dense.assign(packed->schema().dense.size(), {5.0F, 0.5F});
    for (std::size_t number = 0; number < packed->block_count(); ++number) {
      Block block;
      packed->decode(number, block, /*with_sample_ids=*/true);
      for (Impression& impression : expand(block, inputs)) {
        const std::uint64_t index = impression.input_index;
        expected.emplace(index, std::move(impression));
      }
    }
  }

  MemoryLog log;
  test::TemporaryDirectory directory;
  std::string path = directory / "packed";
  std::shared_ptr<const PackedDataset> packed;
  ModelInputs inputs;
  std::map<std::uint64_t, Impression> expected;  // by input_index
};

MemoryLog users_log() {
  test::RandomLogShape shape;
  shape.common_rows = 900;
  shape.impressions = 20'000;
  return test::random_log(shape);
}
const LoadedLog& users() {
  static const LoadedLog dataset(users_log());
  return dataset;
}

LoaderOptions options(Order order, std::uint64_t window_bytes, std::int64_t batch_size = 700) {
  LoaderOptions result;
  result.order = order;
  result.window_bytes = window_bytes;
  result.batch_size = batch_size;
  result.workers = 2;
  result.with_input_index = result.with_sample_ids = true;
  return result;
}

template <class Column>
std::uint64_t hash(const Column& column, std::uint64_t seed) {
  return XXH3_64bits_withSeed(column.data(), column.size() * sizeof(*column.data()), seed + column.size());
}
std::uint64_t hash(const HostBatch& batch) {
  std::uint64_t result = 0;
  for (const auto* column :
       {&batch.sample_offsets, &batch.sample_rows, &batch.common_offsets, &batch.common_rows, &batch.common_begin}) {
    result = hash(*column, result);
  }
  for (const auto* column : {&batch.sample_weights, &batch.common_weights, &batch.dense})
    result = hash(*column, result);
  result = hash(batch.conversion, hash(batch.click, result));
  return hash(batch.sample_id.ends, hash(batch.sample_id.chars, hash(batch.input_index, result)));
}

/// One hash per batch from here to the end of the epoch.
std::vector<std::uint64_t> rest_of_epoch(Loader& loader) {
  std::vector<std::uint64_t> hashes;
  while (const HostBatch* batch = loader.next()) hashes.push_back(hash(*batch));
  return hashes;
}
std::vector<std::uint64_t> one_epoch(const LoadedLog& dataset, const LoaderOptions& options, std::int64_t epoch = 0) {
  Loader loader(dataset.packed, dataset.inputs, options);
  loader.start(epoch);
  return rest_of_epoch(loader);
}

/// Reads an epoch and checks that it holds exactly the dataset; returns the order of input indices.
std::vector<std::uint64_t> expect_whole_dataset(Loader& loader, const LoadedLog& dataset, std::int64_t batch_size) {
  std::vector<std::uint64_t> order;
  std::int64_t batches = 0, last_size = batch_size;
  while (const HostBatch* batch = loader.next()) {
    EXPECT_EQ(last_size, batch_size) << "only the last batch may be smaller";
    last_size = batch->impressions();
    ++batches;
    test::expect_well_formed(*batch);
    for (const Impression& impression : expand(*batch)) {
      EXPECT_EQ(impression, dataset.expected.at(impression.input_index));
      order.push_back(impression.input_index);
    }
    if (::testing::Test::HasFailure()) return order;
  }
  EXPECT_EQ(batches, loader.batches_per_epoch());
  EXPECT_EQ(order.size(), dataset.expected.size());
  EXPECT_EQ(std::set(order.begin(), order.end()).size(), order.size());
  return order;
}

TEST(Loader, KeepsAsManyBatchesAsAreHeldAndNoMore) {
  LoaderOptions keeping = options(Order::by_common_row, 1 << 16, 300);
  const std::vector<std::uint64_t> expected = one_epoch(users(), keeping);
  keeping.held = 3;
  keeping.batches_ahead = 1;
  Loader loader(users().packed, users().inputs, keeping);
  for (int epoch = 0; epoch < 2; ++epoch) {  // the second begins while the first one's batches are held
    loader.start(0);
    std::vector<const HostBatch*> batches;
    std::vector<std::uint64_t> hashes;
    while (const HostBatch* batch = loader.next()) {
      batches.push_back(batch);
      hashes.push_back(hash(*batch));
      for (std::size_t back = 0; back < 3 && back < batches.size(); ++back) {
        EXPECT_EQ(hash(*batches[batches.size() - 1 - back]), hashes[hashes.size() - 1 - back]) << "held by " << back;
      }
    }
    EXPECT_EQ(hashes, expected);
    EXPECT_EQ(std::set(batches.begin(), batches.end()).size(), 4U) << "batches in memory: three held, one ahead";
  }
  keeping.held = 0;
  EXPECT_THROW(Loader(users().packed, users().inputs, keeping), Error);
}

/// Counts what is allocated from it.
class CountingResource : public std::pmr::memory_resource {
 public:
  std::atomic<std::int64_t> bytes{0}, allocations{0};

 private:
  void* do_allocate(std::size_t size, std::size_t alignment) override {
    bytes += static_cast<std::int64_t>(size);
    ++allocations;
    return std::pmr::new_delete_resource()->allocate(size, alignment);
  }
  void do_deallocate(void* pointer, std::size_t size, std::size_t alignment) override {
    bytes -= static_cast<std::int64_t>(size);
    std::pmr::new_delete_resource()->deallocate(pointer, size, alignment);
  }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

TEST(Loader, TakesTheMemoryOfItsBatchesFromTheGivenResource) {
  CountingResource memory;
  LoaderOptions given = options(Order::sequential, 1 << 20);
  given.memory = &memory;
  {
    Loader loader(users().packed, users().inputs, given);
    loader.start(0);
    EXPECT_FALSE(rest_of_epoch(loader).empty());
    const std::int64_t after_one_epoch = memory.allocations;
    EXPECT_GT(memory.bytes, 700 * 3 * 4);
    loader.start(1);
    (void)rest_of_epoch(loader);
    EXPECT_LE(memory.allocations, 2 * after_one_epoch) << "the memory is used again";
  }
  EXPECT_EQ(memory.bytes, 0);
}

TEST(Loader, DeliversEveryImpressionOncePerEpochWhateverTheOrderAndTheWindow) {
  ASSERT_GE(users().packed->block_count(), 4U);
  for (const Order order : every_order) {
    for (const std::uint64_t window : {std::uint64_t{1}, std::uint64_t{2'000'000}, plenty}) {
      Loader loader(users().packed, users().inputs, options(order, window));
      for (const std::int64_t epoch : {0, 1}) {
        loader.start(epoch);
        expect_whole_dataset(loader, users(), 700);
        EXPECT_EQ(loader.next(), nullptr);
      }
    }
  }
}

// With windows of one block and batches of 4000 nearly every batch is cut from two windows.
TEST(Loader, DeliversTheSameBatchesWithAnyNumberOfWorkers) {
  for (const Order order : every_order) {
    for (const auto& [window, batch_size] : {std::pair{std::uint64_t{1}, 300}, {1, 4000}, {plenty, 300}}) {
      LoaderOptions some = options(order, window, batch_size);
      some.workers = 1;
      some.batches_ahead = 1;
      const auto expected = one_epoch(users(), some, 3);
      for (const int workers : {2, 4}) {
        some.workers = workers;
        some.batches_ahead = 2 * workers;
        EXPECT_EQ(one_epoch(users(), some, 3), expected) << workers << " workers";
      }
    }
  }
}

TEST(Loader, ShufflesAnewForEveryEpochAndSeed) {
  for (const Order order : {Order::by_common_row, Order::by_impression}) {
    LoaderOptions some = options(order, plenty);
    const auto first = one_epoch(users(), some, 0);
    EXPECT_EQ(one_epoch(users(), some, 0), first);
    EXPECT_NE(one_epoch(users(), some, 1), first);
    some.seed = 2;
    EXPECT_NE(one_epoch(users(), some, 0), first);
  }
}

TEST(Loader, KeepsTheStoredOrderWhenSequentialWhateverEpochSeedAndWindow) {
  const auto expected = one_epoch(users(), options(Order::sequential, plenty), 0);
  LoaderOptions other = options(Order::sequential, 1);
  other.seed = 9;
  EXPECT_EQ(one_epoch(users(), other, 5), expected);
}

TEST(Loader, ContinuesAtAnyBatchAsIfItHadReadThrough) {
  for (const Order order : every_order) {
    for (const std::uint64_t window : {std::uint64_t{1}, plenty}) {
      const LoaderOptions some = options(order, window);
      const auto whole = one_epoch(users(), some, 2);
      Loader loader(users().packed, users().inputs, some);
      for (std::int64_t first = 0; first <= loader.batches_per_epoch(); first += 3) {
        loader.start(2, first);
        EXPECT_EQ(rest_of_epoch(loader), std::vector(whole.begin() + first, whole.end())) << "from batch " << first;
      }
    }
  }
}

TEST(Loader, StartsAgainInTheMiddleOfAnEpoch) {
  const LoaderOptions some = options(Order::by_common_row, 2'000'000);
  const auto expected = one_epoch(users(), some, 1);
  Loader loader(users().packed, users().inputs, some);
  for (int taken = 0; taken < 8; ++taken) {
    loader.start(0);
    for (int i = 0; i < taken; ++i) EXPECT_NE(loader.next(), nullptr);
  }
  loader.start(1);
  EXPECT_EQ(rest_of_epoch(loader), expected);
}

TEST(Loader, CanBeDestroyedAtAnyMoment) {
  for (int taken = -1; taken < 10; ++taken) {
    Loader loader(users().packed, users().inputs, options(Order::by_common_row, 2'000'000));
    if (taken >= 0) loader.start(0);
    for (int i = 0; i < taken; ++i) EXPECT_NE(loader.next(), nullptr);
  }
}

// ---- Common rows ---------------------------------------------------------------------------------------------------

/// For every user the batches that hold it, once for each time that its common row is in the batch.
std::map<std::string, std::vector<std::int64_t>> batches_of_users(const LoadedLog& dataset, const LoaderOptions& some) {
  std::map<std::string, std::vector<std::int64_t>> result;
  Loader loader(dataset.packed, dataset.inputs, some);
  loader.start(0);
  for (std::int64_t number = 0; const HostBatch* batch = loader.next(); ++number) {
    for (std::size_t u = 0; u + 1 < batch->common_begin.size(); ++u) {
      std::set<std::string> users_of_row;
      for (std::size_t i = batch->common_begin[u]; i < batch->common_begin[u + 1]; ++i) {
        users_of_row.insert(dataset.log.impressions[batch->input_index[i]].common);
      }
      EXPECT_EQ(users_of_row.size(), 1U) << "impressions of several users share a common row";
      result[*users_of_row.begin()].push_back(number);
    }
  }
  return result;
}

TEST(Loader, KeepsTheImpressionsOfACommonRowTogether) {
  for (const std::uint64_t window : {std::uint64_t{1}, plenty}) {
    std::int64_t split = 0;
    for (const auto& [user, batches] : batches_of_users(users(), options(Order::by_common_row, window))) {
      for (std::size_t i = 1; i < batches.size(); ++i) EXPECT_EQ(batches[i], batches[i - 1] + 1) << user;
      split += static_cast<std::int64_t>(batches.size()) - 1;
    }
    EXPECT_LE(split, 28) << "at most one common row is split at the end of each of 28 batches";
  }
}

TEST(Loader, HasEachCommonRowAtMostOncePerBatchWhenShuffledByImpression) {
  for (const auto& [user, batches] : batches_of_users(users(), options(Order::by_impression, plenty))) {
    EXPECT_EQ(std::set(batches.begin(), batches.end()).size(), batches.size()) << user;
  }
}

TEST(Loader, ContinuesACommonRowThatIsLargerThanABatch) {
  test::RandomLogShape shape;
  shape.common_rows = 3;
  shape.impressions = 9000;
  MemoryLog log = test::random_log(shape);
  for (std::size_t i = 0; i < 6000; ++i) log.impressions[i].common = "user1";
  const LoadedLog dataset(std::move(log));
  for (const Order order : every_order) {
    const LoaderOptions some = options(order, 1, 512);
    Loader loader(dataset.packed, dataset.inputs, some);
    loader.start(0);
    expect_whole_dataset(loader, dataset, 512);
  }
  for (const auto& [user, batches] : batches_of_users(dataset, options(Order::by_common_row, plenty, 512))) {
    for (std::size_t i = 1; i < batches.size(); ++i) EXPECT_EQ(batches[i], batches[i - 1] + 1) << user;
  }
}

TEST(Loader, TakesADatasetWithoutCommonFields) {
  test::RandomLogShape shape;
  shape.common_rows = shape.common_fields = 0;
  shape.impressions = 9000;
  const LoadedLog dataset(test::random_log(shape));
  for (const Order order : every_order) {
    for (const std::uint64_t window : {std::uint64_t{1}, plenty}) {
      Loader loader(dataset.packed, dataset.inputs, options(order, window));
      loader.start(0);
      const auto sequence = expect_whole_dataset(loader, dataset, 700);
      EXPECT_EQ(std::is_sorted(sequence.begin(), sequence.end()), order == Order::sequential);
    }
  }
}

// ---- Edges ---------------------------------------------------------------------------------------------------------

TEST(Loader, DeliversOneBatchWhenItIsLargerThanTheDataset) {
  for (const std::int64_t batch_size : {std::int64_t{20'000}, std::int64_t{1'000'000}, INT64_MAX}) {
    Loader loader(users().packed, users().inputs, options(Order::by_common_row, 1, batch_size));
    EXPECT_EQ(loader.batches_per_epoch(), 1);
    loader.start(0);
    const HostBatch* batch = loader.next();
    ASSERT_NE(batch, nullptr);
    EXPECT_EQ(batch->impressions(), 20'000);
    EXPECT_EQ(loader.next(), nullptr);
  }
}

TEST(Loader, DeliversBatchesOfOneImpression) {
  test::RandomLogShape shape;
  const LoadedLog dataset(test::random_log(shape));
  Loader loader(dataset.packed, dataset.inputs, options(Order::by_impression, 1, 1));
  loader.start(0);
  expect_whole_dataset(loader, dataset, 1);
}

TEST(Loader, LeavesOutWhatWasNotAskedFor) {
  LoaderOptions some = options(Order::sequential, plenty);
  some.with_input_index = some.with_sample_ids = false;
  Loader loader(users().packed, users().inputs, some);
  loader.start(0);
  const HostBatch* batch = loader.next();
  EXPECT_TRUE(batch->input_index.empty());
  EXPECT_EQ(batch->sample_id.size(), 0U);
}

TEST(Loader, ReportsACorruptBlockAtTheSameBatchWithAnyNumberOfWorkers) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "packed";
  std::filesystem::copy(users().path, path, std::filesystem::copy_options::recursive);
  std::string bytes = test::read_bytes(path + "/blocks.bin");
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x10);
  test::write_bytes(path + "/blocks.bin", bytes);
  const auto packed = PackedDataset::open(path);

  std::set<std::vector<std::uint64_t>> delivered;
  std::set<std::string> messages;
  for (const int workers : {1, 2, 4}) {
    LoaderOptions some = options(Order::by_common_row, 1);
    some.workers = workers;
    Loader loader(packed, users().inputs, some);
    loader.start(0);
    std::vector<std::uint64_t> hashes;
    try {
      while (const HostBatch* batch = loader.next()) hashes.push_back(hash(*batch));
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      messages.insert(error.what());
    }
    EXPECT_THROW((void)loader.next(), Error) << "the error stays";
    delivered.insert(hashes);
  }
  EXPECT_EQ(messages.size(), 1U);
  EXPECT_THAT(*messages.begin(), HasSubstr("blocks.bin"));
  EXPECT_EQ(delivered.size(), 1U);
  EXPECT_FALSE(delivered.begin()->empty()) << "batches before the corrupt block are delivered";
}

TEST(Loader, RejectsOptionsThatMakeNoSense) {
  const auto code = [](auto&& change) {
    LoaderOptions some = options(Order::sequential, plenty);
    ModelInputs inputs = users().inputs;
    change(some, inputs);
    try {
      const Loader loader(users().packed, inputs, some);
    } catch (const Error& error) {
      return error.code();
    }
    return ExitCode::ok;
  };
  EXPECT_EQ(code([](LoaderOptions& o, ModelInputs&) { o.batch_size = 0; }), ExitCode::usage);
  EXPECT_EQ(code([](LoaderOptions& o, ModelInputs&) { o.workers = 0; }), ExitCode::usage);
  EXPECT_EQ(code([](LoaderOptions& o, ModelInputs&) { o.batches_ahead = 0; }), ExitCode::usage);
  EXPECT_EQ(code([](LoaderOptions&, ModelInputs& i) { i.fields[0].clip = -1; }), ExitCode::usage);
  EXPECT_EQ(code([](LoaderOptions&, ModelInputs& i) { i.fields.pop_back(); }), ExitCode::internal);
  Loader loader(users().packed, users().inputs, options(Order::sequential, plenty));
  EXPECT_THROW(loader.start(0, loader.batches_per_epoch() + 1), Error);
  EXPECT_THROW(loader.start(-1), Error);
}

}  // namespace
}  // namespace esmm
