#include "io/vocabulary.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <set>

#include "kernels/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

using test::TemporaryDirectory;

Vocabulary::Table table_of(const std::string& name, std::vector<std::uint64_t> ids) {
  const auto rows = static_cast<std::uint32_t>(ids.size() + 1);
  return {name, Encoding::vocab, rows, 1000, std::move(ids)};
}

Vocabulary example() {
  return {{table_of("item", {9, 0, 3'400'000'000, 1ULL << 63 | 5}),
           table_of("user/group", {}),
           {"hashed", Encoding::hash, 97, 0, {}}},
          10};
}

TEST(Vocabulary, GivesRowsInTheOrderOfTheIdsAndRowZeroToTheUnknown) {
  const Vocabulary vocabulary = example();
  EXPECT_EQ(vocabulary.encode(0, 9), 1U);
  EXPECT_EQ(vocabulary.encode(0, 0), 2U);
  EXPECT_EQ(vocabulary.encode(0, 3'400'000'000), 3U);
  EXPECT_EQ(vocabulary.encode(0, 1ULL << 63 | 5), 4U);
  EXPECT_EQ(vocabulary.encode(0, 5), 0U);
  EXPECT_EQ(vocabulary.encode(1, 0), 0U);
  EXPECT_EQ(vocabulary.find_table("user/group"), 1);
  EXPECT_EQ(vocabulary.find_table("absent"), -1);
}

TEST(Vocabulary, FindsEveryIdOfALargeTableAndNoOther) {
  std::mt19937_64 random(11);
  std::set<std::uint64_t> distinct;
  for (std::uint64_t id = 0; id < 50'000; ++id) distinct.insert(id * 64);  // consecutive numbers, multiplied
  while (distinct.size() < 200'000) distinct.insert(random());
  std::vector<std::uint64_t> ids(distinct.begin(), distinct.end());
  std::shuffle(ids.begin(), ids.end(), random);
  const Vocabulary vocabulary({table_of("t", ids)}, 1);
  for (std::size_t i = 0; i < ids.size(); ++i) ASSERT_EQ(vocabulary.encode(0, ids[i]), i + 1);
  for (int n = 0; n < 100'000; ++n) {
    const std::uint64_t id = random();
    ASSERT_EQ(vocabulary.encode(0, id) == 0, !distinct.contains(id));
  }
}

TEST(Vocabulary, SpreadsHashedIdsEvenlyOverAllBuckets) {
  const Vocabulary vocabulary({{"t", Encoding::hash, 97, 0, {}}}, 0);
  std::vector<int> counts(97);
  for (std::uint64_t id = 0; id < 97'000; ++id) ++counts.at(vocabulary.encode(0, id));
  // Binomial with mean 1000 and deviation 31.5: six deviations are never met by chance.
  for (const int count : counts) EXPECT_NEAR(count, 1000, 190);
}

TEST(Vocabulary, SurvivesSavingAndLoading) {
  const TemporaryDirectory directory;
  const Vocabulary vocabulary = example();
  vocabulary.save(directory / "vocab");
  const auto loaded = Vocabulary::load(directory / "vocab");
  EXPECT_EQ(loaded->hash(), vocabulary.hash());
  EXPECT_EQ(loaded->min_count(), 10U);
  ASSERT_EQ(loaded->tables().size(), 3U);
  EXPECT_EQ(loaded->tables()[0].ids, vocabulary.tables()[0].ids);
  EXPECT_EQ(loaded->tables()[0].distinct_seen, 1000U);
  EXPECT_EQ(loaded->tables()[1].name, "user/group");
  EXPECT_EQ(loaded->tables()[2].encoding, Encoding::hash);
  EXPECT_EQ(loaded->tables()[2].rows, 97U);
  EXPECT_EQ(loaded->encode(0, 9), 1U);
}

TEST(Vocabulary, HasAHashThatDiffersWithAnythingThatChangesTheEncoding) {
  std::set<std::string> hashes;
  const auto add = [&](std::vector<Vocabulary::Table> tables) {
    EXPECT_TRUE(hashes.insert(Vocabulary(std::move(tables), 1).hash()).second);
  };
  add({table_of("a", {1, 2})});
  add({table_of("a", {2, 1})});
  add({table_of("a", {1})});
  add({table_of("b", {1, 2})});
  add({table_of("a", {1}), table_of("b", {2})});
  add({{"a", Encoding::hash, 3, 0, {}}});
  add({{"a", Encoding::hash, 4, 0, {}}});
  EXPECT_EQ(Vocabulary({table_of("a", {1})}, 1).hash(), Vocabulary({table_of("a", {1})}, 5).hash());
}

TEST(Vocabulary, RefusesAFileWithAnyByteChangedOrCutShort) {
  const TemporaryDirectory directory;
  example().save(directory / "vocab");
  for (const char* name : {"vocabulary.json", "item.ids"}) {
    const std::string path = directory / (std::string("vocab/") + name);
    const std::string good = test::read_bytes(path);
    for (std::size_t at = 0; at < good.size(); ++at) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 8)));
      test::write_bytes(path, bad);
      try {
        (void)Vocabulary::load(directory / "vocab");
        ADD_FAILURE() << name << ": byte " << at << " can change unnoticed";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::data);
        EXPECT_THAT(error.what(), ::testing::HasSubstr(name));
      }
    }
    for (std::size_t length = 0; length < good.size(); length += 3) {
      test::write_bytes(path, good.substr(0, length));
      EXPECT_THROW((void)Vocabulary::load(directory / "vocab"), Error);
    }
    test::write_bytes(path, good);
  }
}

TEST(Vocabulary, SaysThatItCannotBeReadWhenItIsAbsent) {
  const TemporaryDirectory directory;
  try {
    (void)Vocabulary::load(directory / "nothing");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::io);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("No such file"));
  }
}

TEST(Vocabulary, RefusesAnIdOrATableThatIsThereTwice) {
  EXPECT_THROW(Vocabulary({table_of("a", {1, 2, 1})}, 1), Error);
  EXPECT_THROW(Vocabulary({table_of("a", {1}), table_of("a", {2})}, 1), Error);
}

}  // namespace
}  // namespace esmm
