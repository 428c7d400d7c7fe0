#include "engine/datasets.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "engine/fingerprint.hpp"
#include "io/synth.hpp"
#include "kernels/error.hpp"
#include "tests/support/csv_log.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

namespace fs = std::filesystem;
using test::csv_log;
using test::TemporaryDirectory;
using testing::HasSubstr;

class Datasets : public testing::Test {
 protected:
  DatasetRequest request(const std::string& path) {
    DatasetRequest request;
    request.path = path;
    request.cache_directory = directory_ / "cache";
    request.pack.threads = 1;
    request.pack.min_count = 1;
    request.pack.progress = [this](const char*, std::uint64_t, std::uint64_t) { packed_ = true; };
    return request;
  }
  /// Opens it; true if it had to be packed for that.
  bool packs(const DatasetRequest& wanted) {
    packed_ = false;
    last_ = open_dataset(wanted);
    return packed_;
  }
  [[nodiscard]] std::size_t cache_entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory_ / "cache"), {}));
  }
  /// A raw Ali-CCP log, both halves.
  std::string ali_ccp_log() {
    SynthOptions options;
    options.out = directory_ / "log";
    options.rows = 400;
    options.threads = 1;
    synthesise(options);
    return options.out;
  }
  void convert(const std::string& log, Half half, const std::string& to, std::shared_ptr<const Vocabulary> vocabulary) {
    PackOptions options = request(log).pack;
    options.vocabulary = std::move(vocabulary);
    options.progress = nullptr;
    pack(*open_log(log, {.half = half, .schema = nullptr, .labels_required = true, .threads = 1}), to, options);
  }

  TemporaryDirectory directory_;
  bool packed_ = false;
  std::shared_ptr<const PackedDataset> last_;
};

/// The message of the Error with this code that opening throws.
std::string message_of(const DatasetRequest& request, ExitCode code) {
  try {
    static_cast<void>(open_dataset(request));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return {};
}

TEST_F(Datasets, RawLogIsPackedOnceAndThenReused) {
  const DatasetRequest wanted = request(directory_.write("log.csv", csv_log(100)));
  EXPECT_TRUE(packs(wanted));
  EXPECT_EQ(last_->statistics().impressions, 100U);
  EXPECT_FALSE(packs(wanted));
  EXPECT_EQ(last_->statistics().impressions, 100U);
}

TEST_F(Datasets, TouchedFileIsPackedAgain) {
  const std::string file = directory_.write("log.csv", csv_log(100));
  EXPECT_TRUE(packs(request(file)));
  fs::last_write_time(file, fs::last_write_time(file) + std::chrono::seconds(1));
  EXPECT_TRUE(packs(request(file)));
}

TEST_F(Datasets, EveryOptionThatMattersHasItsOwnCacheEntry) {
  const std::string file = directory_.write("log.csv", csv_log(100));
  EXPECT_TRUE(packs(request(file)));
  const std::shared_ptr<const PackedDataset> plain = last_;
  std::size_t entries = 1;
  const auto expect_new_entry = [&](const char* what, auto change) {
    DatasetRequest changed = request(file);
    change(changed);
    EXPECT_TRUE(packs(changed)) << what;
    EXPECT_EQ(cache_entries(), ++entries) << what;
  };
  expect_new_entry("min_count", [](DatasetRequest& r) { r.pack.min_count = 3; });
  expect_new_entry("encoding", [](DatasetRequest& r) { r.pack.encoding = Encoding::hash, r.pack.buckets = 64; });
  expect_new_entry("buckets", [](DatasetRequest& r) { r.pack.encoding = Encoding::hash, r.pack.buckets = 65; });
  expect_new_entry("on_bad_row", [](DatasetRequest& r) { r.pack.on_bad_row = OnBadRow::skip; });
  expect_new_entry("on_contradiction", [](DatasetRequest& r) { r.pack.on_contradiction = OnContradiction::keep; });
  expect_new_entry("labels_required", [](DatasetRequest& r) { r.labels_required = false; });
  expect_new_entry("vocabulary", [&](DatasetRequest& r) { r.pack.vocabulary = plain->vocabulary(); });
  expect_new_entry("schema", [&](DatasetRequest& r) {
    Schema schema = plain->schema();
    schema.ignore = {"price"};
    schema.dense.clear();
    r.schema = std::make_shared<const Schema>(schema);
  });
}

TEST_F(Datasets, FingerprintIgnoresWhatCannotChangeTheBytes) {
  const std::string file = directory_.write("log.csv", csv_log(10));
  DatasetRequest one = request(file), other = request(file);
  other.pack.threads = 7;
  other.pack.buckets = 12345;  // only hashed tables have buckets
  other.cache_directory = "elsewhere";
  EXPECT_EQ(fingerprint(one, {file}), fingerprint(other, {file}));
  const std::string spelt_otherwise = directory_.path() + "/./log.csv";
  EXPECT_EQ(fingerprint(one, {file}), fingerprint(one, {spelt_otherwise}));
}

TEST_F(Datasets, DamagedCacheEntryIsPackedAgain) {
  const DatasetRequest wanted = request(directory_.write("log.csv", csv_log(100)));
  EXPECT_TRUE(packs(wanted));
  const std::string manifest = last_->path() + "/manifest.json";
  fs::resize_file(manifest, fs::file_size(manifest) / 2);
  EXPECT_TRUE(packs(wanted));
  EXPECT_EQ(last_->statistics().impressions, 100U);
  EXPECT_FALSE(packs(wanted));
}

TEST_F(Datasets, ACacheEntryWithACorruptBlockOrIdIsPackedAgain) {
  const DatasetRequest wanted = request(directory_.write("log.csv", csv_log(100)));
  EXPECT_TRUE(packs(wanted));
  const std::string entry = last_->path();
  std::vector<std::string> files{entry + "/blocks.bin"};
  for (const auto& file : fs::directory_iterator(entry + "/vocab")) files.push_back(file.path().string());
  for (const std::string& file : files) {
    std::string bytes = test::read_bytes(file);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    test::write_bytes(file, bytes);
    EXPECT_TRUE(packs(wanted)) << file;
    EXPECT_FALSE(packs(wanted)) << file;
  }
}

TEST_F(Datasets, ACacheEntryThatLacksAnyFileIsPackedAgain) {
  const DatasetRequest wanted = request(directory_.write("log.csv", csv_log(100)));
  EXPECT_TRUE(packs(wanted));
  const std::string entry = last_->path();
  std::vector<std::string> parts;
  for (const auto& part : fs::recursive_directory_iterator(entry)) parts.push_back(part.path().string());
  ASSERT_GE(parts.size(), 5U) << "manifest.json, blocks.bin, vocab/, vocabulary.json, ids";
  for (const std::string& part : parts) {
    fs::remove_all(part);
    EXPECT_TRUE(packs(wanted)) << part;
    EXPECT_FALSE(packs(wanted)) << part;
  }
}

TEST_F(Datasets, WhatAKilledPackerLeftIsRemoved) {
  const std::string left = directory_ / "cache/0123456789abcdef.tmp-77";
  fs::create_directories(left + "/vocab");
  EXPECT_TRUE(packs(request(directory_.write("log.csv", csv_log(100)))));
  EXPECT_FALSE(fs::exists(left));
}

TEST_F(Datasets, BadLogLeavesNoCacheEntry) {
  const std::string file = directory_.write("log.csv", "click,conversion,item\n1,0,5\n1,2,5\n");
  EXPECT_THAT(message_of(request(file), ExitCode::data), HasSubstr("log.csv:3"));
  EXPECT_EQ(cache_entries(), 0U);
}

TEST_F(Datasets, MissingPathIsAnIoError) {
  EXPECT_THAT(message_of(request(directory_ / "nowhere"), ExitCode::io), HasSubstr("nowhere"));
}

TEST_F(Datasets, HalvesOfARawDirectoryAreTold) {
  const std::string log = ali_ccp_log();
  EXPECT_TRUE(has_test_half(log));
  DatasetRequest wanted = request(log);
  const auto train = open_dataset(wanted);
  wanted.half = Half::test;
  const auto test = open_dataset(wanted);
  EXPECT_NE(train->path(), test->path());
  fs::remove(log + "/sample_skeleton_train.csv");
  fs::remove(log + "/common_features_train.csv");
  EXPECT_FALSE(has_test_half(log)) << "there is no train half that it could be beside";
  wanted.half = Half::train;
  EXPECT_EQ(open_dataset(wanted)->path(), test->path()) << "the only half is the one that is meant";
}

TEST_F(Datasets, HalvesOfAPackedDirectoryAreTold) {
  const std::string log = ali_ccp_log();
  fs::create_directory(directory_ / "packed");
  convert(log, Half::train, directory_ / "packed/train", nullptr);
  EXPECT_FALSE(has_test_half(directory_ / "packed"));
  const auto vocabulary = load_any_vocabulary(directory_ / "packed");
  convert(log, Half::test, directory_ / "packed/test", vocabulary);
  EXPECT_TRUE(has_test_half(directory_ / "packed"));

  DatasetRequest wanted = request(directory_ / "packed");
  EXPECT_EQ(open_dataset(wanted)->path(), directory_ / "packed/train");
  wanted.half = Half::test;
  wanted.pack.vocabulary = vocabulary;
  EXPECT_EQ(open_dataset(wanted)->path(), directory_ / "packed/test");
  EXPECT_FALSE(packed_) << "packed data is used as it is";
}

TEST_F(Datasets, PackedWithAnotherVocabularyIsADataErrorThatNamesBoth) {
  convert(directory_.write("one.csv", csv_log(50)), Half::whole, directory_ / "one", nullptr);
  convert(directory_.write("other.csv", csv_log(200)), Half::whole, directory_ / "other", nullptr);
  DatasetRequest wanted = request(directory_ / "one");
  wanted.pack.vocabulary = load_any_vocabulary(directory_ / "other");
  const std::string message = message_of(wanted, ExitCode::data);
  EXPECT_THAT(message, HasSubstr(PackedDataset::open(directory_ / "one")->vocabulary_hash()));
  EXPECT_THAT(message, HasSubstr(wanted.pack.vocabulary->hash()));
  EXPECT_THAT(message, HasSubstr("--vocab"));
}

TEST_F(Datasets, PackedWithOtherFieldsIsADataError) {
  convert(directory_.write("log.csv", csv_log(50)), Half::whole, directory_ / "packed", nullptr);
  DatasetRequest wanted = request(directory_ / "packed");
  wanted.schema = std::make_shared<const Schema>(ali_ccp_schema());
  EXPECT_THAT(message_of(wanted, ExitCode::data), HasSubstr("other fields"));
}

TEST_F(Datasets, VocabularyIsFoundInADatasetItsHalvesAndItsOwnDirectory) {
  convert(ali_ccp_log(), Half::train, directory_ / "train", nullptr);
  const std::string hash = load_any_vocabulary(directory_ / "train")->hash();
  EXPECT_EQ(load_any_vocabulary(directory_ / "train/vocab")->hash(), hash);
  EXPECT_EQ(load_any_vocabulary(directory_.path())->hash(), hash) << "a directory of halves";
  EXPECT_THROW(static_cast<void>(load_any_vocabulary(directory_ / "log")), Error);
}

}  // namespace
}  // namespace esmm
