#include "io/packed.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <thread>

#include "io/manifest.hpp"
#include "io/pack.hpp"
#include "kernels/error.hpp"
#include "tests/support/bit_flips.hpp"
#include "tests/support/memory_log.hpp"
#include "tests/support/small_log.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

using test::TemporaryDirectory;
using ::testing::HasSubstr;

/// Packs a tiny random log into `directory`/packed and returns that path.
std::string tiny_dataset(const TemporaryDirectory& directory) {
  test::MemoryLog log = test::random_log({.common_rows = 3, .impressions = 12, .distinct_ids = 8});
  PackOptions options;
  options.min_count = 2;
  options.threads = 1;
  pack(log, directory / "packed", options);
  return directory / "packed";
}

/// Opens and decodes all of it.
void read_through(const std::string& path) {
  const auto dataset = PackedDataset::open(path);
  Block block;
  for (std::size_t b = 0; b < dataset->block_count(); ++b) dataset->decode(b, block, true);
}

TEST(PackedDataset, RefusesAManifestOrBlocksWithAnyByteChanged) {
  const TemporaryDirectory directory;
  const std::string packed = tiny_dataset(directory);
  for (const char* name : {"manifest.json", "blocks.bin"}) {
    const std::string path = packed + "/" + name;
    const std::string good = test::read_bytes(path);
    for (std::size_t at = 0; at < good.size(); ++at) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 8)));
      test::write_bytes(path, bad);
      try {
        read_through(packed);
        ADD_FAILURE() << name << ": byte " << at << " can change unnoticed";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::data);
        EXPECT_THAT(error.what(), HasSubstr(name));
      }
    }
    test::write_bytes(path, good);
    EXPECT_NO_THROW(read_through(packed));
  }
}

TEST(PackedDataset, RefusesFilesThatAreCutShortOrTooLong) {
  const TemporaryDirectory directory;
  const std::string packed = tiny_dataset(directory);
  for (const char* name : {"manifest.json", "blocks.bin"}) {
    const std::string path = packed + "/" + name;
    const std::string good = test::read_bytes(path);
    for (const std::size_t length :
         {std::size_t{0}, std::size_t{1}, std::size_t{8}, good.size() / 2, good.size() - 1}) {
      test::write_bytes(path, good.substr(0, length));
      EXPECT_THROW(read_through(packed), Error) << name << " of " << length << " bytes";
    }
    test::write_bytes(path, good + "x");
    EXPECT_THROW(read_through(packed), Error);
    test::write_bytes(path, good);
  }
}

TEST(PackedDataset, VerifyingFindsEveryFlippedBitOfAnyFile) {
  const TemporaryDirectory directory;
  const std::string packed = tiny_dataset(directory);
  EXPECT_NO_THROW(PackedDataset::open(packed)->verify());
  for (const auto& file : std::filesystem::recursive_directory_iterator(packed)) {
    if (!file.is_regular_file()) continue;
    const std::string path = file.path().string(), good = test::read_bytes(path);
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      std::string bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      test::write_bytes(path, bad);
      EXPECT_THROW(PackedDataset::open(packed)->verify(), Error) << path << ": bit " << bit;
    }
    test::write_bytes(path, good);
  }
}

TEST(PackedDataset, VerifyingFindsFlippedBitsOfASyntheticLog) {
  const TemporaryDirectory directory;
  const std::string packed = test::make_small_log(directory, 3000, 7).train->path();
  std::vector<test::FlippedFile> files;
  for (const auto& file : std::filesystem::recursive_directory_iterator(packed)) {
    if (!file.is_regular_file()) continue;
    files.push_back({file.path().string(), file.path().extension() == ".json" ? file.file_size() : 0});
  }
  test::expect_flips_found(files, [&] {
    try {
      PackedDataset::open(packed)->verify();
      return true;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data) << error.what();
      return false;
    }
  });
}

TEST(PackedDataset, NamesThePartThatIsMissingAsDamageWithARemedy) {
  const TemporaryDirectory directory;
  const std::string packed = tiny_dataset(directory);
  std::vector<std::string> parts;
  for (const auto& part : std::filesystem::recursive_directory_iterator(packed)) parts.push_back(part.path().string());
  for (const std::string& part : parts) {
    std::filesystem::rename(part, directory / "elsewhere");
    try {
      PackedDataset::open(packed)->verify();
      ADD_FAILURE() << part << " was not missed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      EXPECT_THAT(error.what(), HasSubstr(part + ": is missing. "));
      EXPECT_THAT(error.what(), HasSubstr("again."));
    }
    std::filesystem::rename(directory / "elsewhere", part);
  }
}

TEST(PackedDataset, AFileThatIsCutShortWhileItIsOpenIsAnError) {
  const TemporaryDirectory directory;
  const std::string packed = tiny_dataset(directory);
  const auto dataset = PackedDataset::open(packed);
  std::filesystem::resize_file(packed + "/blocks.bin", 16);
  Block block;
  try {
    dataset->decode(0, block, false);
    FAIL() << "decoded what is not there";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::io);
  }
}

TEST(PackedDataset, RefusesAConsistentlySealedManifestThatDoesNotFitItsBlocks) {
  const TemporaryDirectory directory;
  const std::string packed = tiny_dataset(directory);
  const std::uint64_t size = std::filesystem::file_size(packed + "/blocks.bin");
  const Manifest good = load_manifest(packed, size);
  ASSERT_EQ(good.blocks.size(), 1U);
  const auto expect_refused = [&](const char* what, const std::function<void(Manifest&)>& change) {
    Manifest bad = good;
    change(bad);
    save_manifest(packed, bad);
    try {
      read_through(packed);
      ADD_FAILURE() << what << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data) << what;
    }
  };
  constexpr std::uint64_t kHuge = ~std::uint64_t{0};
  expect_refused("a block beyond the file", [](Manifest& m) { m.blocks[0].bytes += 1; });
  expect_refused("a block of 2^64 - 1 bytes", [](Manifest& m) { m.blocks[0].bytes = kHuge; });
  expect_refused("a block at a wrapping offset", [](Manifest& m) { m.blocks[0].offset = kHuge - 3; });
  expect_refused("4 billion impressions", [](Manifest& m) {
    m.blocks[0].shape.impressions = 4'000'000'000U;
    m.statistics.impressions = 4'000'000'000U;
  });
  expect_refused("2^64 - 1 ids", [](Manifest& m) { m.blocks[0].shape.sample_ids = kHuge; });
  expect_refused("another number of common ids", [](Manifest& m) { m.blocks[0].shape.common_ids -= 1; });
  expect_refused("another checksum", [](Manifest& m) { m.blocks[0].checksum ^= 1; });
  expect_refused("a smaller table", [](Manifest& m) { m.tables[0].rows = 1; });
  expect_refused("a missing table", [](Manifest& m) { m.tables.pop_back(); });
  expect_refused("a field without statistics", [](Manifest& m) { m.statistics.fields.pop_back(); });
  expect_refused("no blocks", [](Manifest& m) { m.blocks.clear(); });
  save_manifest(packed, good);
  EXPECT_NO_THROW(read_through(packed));
}

TEST(PackedDataset, RefusesAnotherVocabularyInItsPlace) {
  const TemporaryDirectory directory;
  const std::string packed = tiny_dataset(directory);
  std::filesystem::remove_all(packed + "/vocab");
  Vocabulary({{"s0", Encoding::hash, 7, 0, {}}}, 1).save(packed + "/vocab");
  EXPECT_THROW((void)PackedDataset::open(packed)->vocabulary(), Error);
}

TEST(PackedDataset, KeepsSchemaAndStatisticsInItsManifest) {
  const TemporaryDirectory directory;
  const std::string packed = tiny_dataset(directory);
  const auto dataset = PackedDataset::open(packed);
  EXPECT_EQ(dataset->path(), packed);
  EXPECT_EQ(dataset->schema(), test::random_log({}).schema());
  EXPECT_TRUE(dataset->labelled());
  EXPECT_EQ(dataset->statistics().impressions, 12U);
  EXPECT_GT(dataset->statistics().packed_bytes, std::filesystem::file_size(packed + "/blocks.bin"));
}

TEST(PackedDataset, DecodesOnSeveralThreadsAtOnce) {
  const TemporaryDirectory directory;
  test::MemoryLog log = test::random_log({.common_rows = 100, .impressions = 20'000, .most_ids = 2});
  PackOptions options;
  options.threads = 2;
  pack(log, directory / "packed", options);
  const auto dataset = PackedDataset::open(directory / "packed");
  ASSERT_GT(dataset->block_count(), 3U);
  std::vector<std::size_t> impressions(4);
  {
    std::vector<std::jthread> threads;
    for (std::size_t& total : impressions)
      threads.emplace_back([&] {
        Block block;
        for (std::size_t b = 0; b < dataset->block_count(); ++b) {
          dataset->decode(b, block, true);
          total += block.impressions();
        }
        EXPECT_EQ(dataset->vocabulary()->hash(), dataset->vocabulary_hash());
      });
  }
  EXPECT_THAT(impressions, ::testing::Each(20'000U));
}

TEST(PackedDataset, SaysThatItCannotBeReadWhenItIsAbsent) {
  const TemporaryDirectory directory;
  try {
    (void)PackedDataset::open(directory / "nothing");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::io);
  }
}

}  // namespace
}  // namespace esmm
