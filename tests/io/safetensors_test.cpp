#include "io/safetensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "kernels/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Safetensors : public ::testing::Test {
 protected:
  [[nodiscard]] std::string content() const { return test::read_bytes(path_); }
  void write(const std::string& bytes) const { test::write_bytes(path_, bytes); }
  /// A file as other software might write it.
  void write(const json& header, std::size_t data_bytes) const { write_header(header.dump(), data_bytes); }
  void write_header(const std::string& header, std::size_t data_bytes) const {
    const std::uint64_t length = header.size();
    std::string bytes(sizeof length, '\0');
    std::memcpy(bytes.data(), &length, sizeof length);
    write(bytes + header + std::string(data_bytes, '\0'));
  }
  /// The message of the data error that opening (and reading everything) gives; empty if there is none.
  [[nodiscard]] std::string complaint() const {
    try {
      const SafetensorsFile file(path_);
      for (const std::string& name : file.names()) (void)file.bytes(name);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      EXPECT_THAT(error.what(), HasSubstr("model.safetensors"));
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      return error.what();
    }
    return {};
  }

  test::TemporaryDirectory directory_;
  std::string path_ = directory_ / "model.safetensors";
};

json entry(const char* dtype, const json& shape, const json& offsets) {
  return {{"dtype", dtype}, {"shape", shape}, {"data_offsets", offsets}};
}

TEST_F(Safetensors, GivesBackStridedFloatsOtherTensorsAndMetadata) {
  constexpr std::int64_t rows = 200'000, cols = 5, stride = 8;  // 4 MB, 6.4 with the padding: more than one piece
  std::vector<float> table(rows * stride, -1.0F);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c)
      table[static_cast<std::size_t>(r * stride + c)] = static_cast<float>(r * cols + c);
  }
  const std::vector<float> bias = {0.5F, 1.5F, 2.5F};
  const std::vector<std::uint8_t> bytes = {1, 2, 3};
  const std::uint64_t step = 1ULL << 60;
  save_safetensors(path_,
                   {{"z.table", table.data(), rows, cols, stride, {rows, cols}}, {"bias", bias.data(), 1, 3, 3, {3}}},
                   {{"a.mask", {"U8", {3}, std::as_bytes(std::span(bytes))}},
                    {"step", {"U64", {}, std::as_bytes(std::span(&step, 1))}},
                    {"nothing", {"F64", {0, 7}, {}}}},
                   {{"format", "pt"}, {"epoch", "3"}});

  const SafetensorsFile file(path_);
  EXPECT_THAT(file.names(), ElementsAre("a.mask", "bias", "nothing", "step", "z.table"));
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}, {"epoch", "3"}}));
  EXPECT_TRUE(file.has("step"));
  EXPECT_FALSE(file.has("__metadata__"));
  EXPECT_THAT(file.shape("z.table"), ElementsAre(rows, cols));
  EXPECT_THAT(file.shape("step"), ElementsAre());

  constexpr std::int64_t other_stride = 6;
  std::vector<float> read(rows * other_stride, -7.0F);
  file.read("z.table", read.data(), rows, cols, other_stride);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < other_stride; ++c) {
      const float expected = c < cols ? static_cast<float>(r * cols + c) : -7.0F;
      ASSERT_EQ(read[static_cast<std::size_t>(r * other_stride + c)], expected) << r << ", " << c;
    }
  }
  std::vector<float> read_bias(3);
  file.read("bias", read_bias.data(), 3, 1, 1);  // a vector may be read as a row or as a column
  EXPECT_EQ(read_bias, bias);
  const auto raw_step = file.bytes("step");
  ASSERT_EQ(raw_step.size(), sizeof step);
  EXPECT_EQ(std::memcmp(raw_step.data(), &step, sizeof step), 0);
}

TEST_F(Safetensors, LaysTheFileOutAsTheFormatSays) {
  const std::vector<float> values = {1, 2, 3};
  const std::uint64_t wide = 7;
  save_safetensors(path_, {{"a", values.data(), 1, 3, 3, {3}}},
                   {{"b", {"U64", {1}, std::as_bytes(std::span(&wide, 1))}}}, {});
  const std::string bytes = content();
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  EXPECT_EQ(length % 8, 0U);
  const json header = json::parse(bytes.substr(8, length));
  // The wider element first, so that both are aligned.
  EXPECT_EQ(header["b"], entry("U64", {1}, {0, 8}));
  EXPECT_EQ(header["a"], entry("F32", {3}, {8, 20}));
  ASSERT_EQ(bytes.size(), 8 + length + 20);
  EXPECT_EQ(std::memcmp(bytes.data() + 8 + length + 8, values.data(), 12), 0);
  EXPECT_EQ(header["__metadata__"]["xxh3:a"].get<std::string>().size(), 16U);
}

TEST_F(Safetensors, DoesNotDependOnTheStride) {
  const std::vector<float> dense = {1, 2, 3, 4, 5, 6};
  const std::vector<float> padded = {1, 2, -9, 3, 4, -9, 5, 6, -9};
  save_safetensors(path_, {{"t", dense.data(), 3, 2, 2, {3, 2}}}, {}, {});
  const std::string first = content();
  save_safetensors(path_, {{"t", padded.data(), 3, 2, 3, {3, 2}}}, {}, {});
  EXPECT_EQ(content(), first);
}

/// A memory that the host cannot dereference: its pointers are off by a constant.
class ElsewhereMemory final : public Memory {
 public:
  void* allocate(std::size_t bytes) override { return shift(::operator new(bytes), kDistance); }
  void release(void* pointer) noexcept override { ::operator delete(shift(pointer, -kDistance)); }
  void copy_from_host(void* to, const void* from, std::size_t bytes) override {
    std::memcpy(shift(to, -kDistance), from, bytes);
    largest_copy = std::max(largest_copy, bytes);
  }
  void copy_to_host(void* to, const void* from, std::size_t bytes) const override {
    std::memcpy(to, shift(from, -kDistance), bytes);
    largest_copy = std::max(largest_copy, bytes);
  }
  void zero(void* to, std::size_t bytes) override { std::memset(shift(to, -kDistance), 0, bytes); }
  [[nodiscard]] std::int64_t row_stride(std::int64_t columns) const override { return columns + 3; }

  mutable std::size_t largest_copy = 0;

 private:
  static constexpr std::intptr_t kDistance = std::intptr_t{1} << 60;  // no address of x86-64 or AArch64 Linux
  static void* shift(const void* pointer, std::intptr_t distance) {
    return reinterpret_cast<void*>(reinterpret_cast<std::intptr_t>(pointer) + distance);
  }
};

TEST_F(Safetensors, WritesTheSameBytesFromAnotherMemoryAndReadsThemBackThere) {
  constexpr std::int64_t rows = 200'000, cols = 5, length = 3'000'000;  // both in several pieces
  std::vector<float> table(rows * cols), vector(length);
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<float>(i);
  for (std::size_t i = 0; i < vector.size(); ++i) vector[i] = -static_cast<float>(i);
  save_safetensors(
      path_, {{"t", table.data(), rows, cols, cols, {rows, cols}}, {"v", vector.data(), 1, length, length, {length}}},
      {}, {});
  const std::string expected = content();

  ElsewhereMemory memory;
  const std::int64_t stride = memory.row_stride(cols);
  const std::vector<float> between(rows * stride, 7.0F);
  Buffer<float> far_table(memory, rows * stride), far_vector(memory, length);
  far_table.copy_from_host(between);
  memory.largest_copy = 0;
  {
    const SafetensorsFile file(path_);
    file.read("t", far_table.data(), rows, cols, stride, &memory);
    file.read("v", far_vector.data(), 1, length, length, &memory);
  }
  save_safetensors(path_,
                   {{"t", far_table.data(), rows, cols, stride, {rows, cols}, &memory},
                    {"v", far_vector.data(), 1, length, length, {length}, &memory}},
                   {}, {});
  EXPECT_TRUE(content() == expected);
  EXPECT_LE(memory.largest_copy, std::size_t{4} << 20U) << "streamed";
  std::vector<float> back(rows * stride);
  far_table.copy_to_host(back);
  for (std::size_t i = 0; i < back.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i) / stride, column = static_cast<std::int64_t>(i) % stride;
    ASSERT_EQ(back[i], column < cols ? static_cast<float>(row * cols + column) : 7.0F) << i;
  }
}

TEST_F(Safetensors, LeavesTheOldFileWhenItCannotWriteANewOne) {
  const std::vector<float> one = {1};
  save_safetensors(path_, {{"t", one.data(), 1, 1, 1, {1}}}, {}, {});
  const std::string before = content();
  EXPECT_THROW(save_safetensors(path_, {{"t", one.data(), 1, 1, 1, {1}}}, {}, {{"name", "\xff"}}), Error);
  EXPECT_EQ(content(), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_.path()), {}), 1);
  try {
    save_safetensors(directory_ / "missing/x", {}, {}, {});
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::io);
  }
}

TEST_F(Safetensors, RejectsTensorsThatContradictTheirShape) {
  const std::vector<float> one = {1};
  const auto save = [&](std::vector<std::int64_t> shape, const char* name) {
    save_safetensors(path_, {{name, one.data(), 1, 1, 1, std::move(shape)}}, {}, {});
  };
  EXPECT_THROW(save({2}, "t"), Error);
  EXPECT_THROW(save({-1, -1}, "t"), Error);
  EXPECT_THROW(save({1}, "__metadata__"), Error);
  EXPECT_THROW(save_safetensors(path_, {{"t", one.data(), 1, 1, 1, {1}}, {"t", one.data(), 1, 1, 1, {1}}}, {}, {}),
               Error);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(Safetensors, FindsEveryFlippedBitOfTheData) {
  const std::vector<float> values = {1, 2, 3, 4};
  save_safetensors(path_, {{"first", values.data(), 1, 2, 2, {2}}, {"second", values.data(), 1, 4, 4, {4}}}, {}, {});
  const std::string good = content();
  EXPECT_EQ(complaint(), "");
  for (std::size_t bit = (good.size() - 24) * 8; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    write(bad);
    EXPECT_THAT(complaint(), HasSubstr(bit / 8 < good.size() - 16 ? "\"first\"" : "\"second\""));
  }
}

TEST_F(Safetensors, FindsEveryFlippedBitOfTheHeader) {
  const std::vector<float> values = {1, 2, 3, 4};
  save_safetensors(path_, {{"first", values.data(), 1, 2, 2, {2}}, {"second", values.data(), 1, 4, 4, {4}}}, {},
                   {{"step", "100"}});
  const std::string good = content();
  for (std::size_t bit = 0; bit < (good.size() - 24) * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    write(bad);
    EXPECT_NE(complaint(), "") << "bit " << bit % 8 << " of byte " << bit / 8;
  }
}

TEST_F(Safetensors, AFileThatIsCutShortWhileItIsOpenIsAnError) {
  const std::vector<float> values(10'000, 1.0F);
  save_safetensors(path_, {{"t", values.data(), 1, 10'000, 10'000, {10'000}}}, {}, {});
  const SafetensorsFile file(path_);
  std::filesystem::resize_file(path_, 8192);
  try {
    file.verify();
    ADD_FAILURE() << "read what is not there";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::io);
  }
}

TEST_F(Safetensors, FindsEveryTruncation) {
  const std::vector<float> values = {1, 2, 3, 4};
  save_safetensors(path_, {{"t", values.data(), 2, 2, 2, {2, 2}}}, {}, {{"key", "value"}});
  const std::string good = content();
  for (std::size_t size = 0; size < good.size(); ++size) {
    write(good.substr(0, size));
    EXPECT_NE(complaint(), "") << size << " of " << good.size() << " bytes";
  }
}

TEST_F(Safetensors, AcceptsAFileOfOtherSoftwareWithoutChecksums) {
  write({{"t", entry("F16", {2, 3}, {4, 16})}, {"u", entry("I32", json::array(), {0, 4})}}, 16);
  EXPECT_EQ(complaint(), "");
  EXPECT_TRUE(SafetensorsFile(path_).metadata().empty());
}

TEST_F(Safetensors, RejectsHeadersThatContradictTheFile) {
  const json good = entry("F32", {2}, {0, 8});
  const struct {
    json header;
    const char* why;
  } cases[] = {
      {{{"t", entry("F32", {2}, {4, 12})}}, "begins at byte 4"},
      {{{"t", good}, {"u", entry("F32", {1}, {4, 8})}}, "begins at byte"},
      {{{"t", good}, {"u", good}}, "begins at byte"},
      {{{"t", entry("F32", {1}, {0, 4})}}, "8 bytes after the last tensor"},
      {{{"t", good}, {"u", entry("F32", {2}, {8, 16})}}, "ends at byte 16 of 12"},
      {{{"t", entry("F32", {3}, {0, 8})}}, "do not match its shape"},
      {{{"t", entry("F32", {1LL << 62, 4}, {0, 0})}}, "do not match its shape"},
      {{{"t", entry("F32", {3}, {12, 0})}}, "do not match its shape"},
      {{{"t", entry("F32", {-2}, {0, 8})}}, "bad shape"},
      {{{"t", entry("F32", {2.5}, {0, 8})}}, "bad shape"},
      {{{"t", entry("F32", {1ULL << 63}, {0, 8})}}, "bad shape"},
      {{{"t", entry("F32", {2}, {0})}}, "bad data_offsets"},
      {{{"t", entry("F32", {2}, {-8, 0})}}, "bad data_offsets"},
      {{{"t", entry("F31", {2}, {0, 8})}}, "unknown dtype F31"},
      {{{"t", 7}}, "needs dtype"},
      {{{"t", {{"dtype", "F32"}}}}, "needs dtype"},
      {{{"__metadata__", {{"x", 1}}}}, "not a string"},
      {{{"__metadata__", "x"}}, "not an object"},
      {json::array(), "not a JSON object"},
  };
  for (const auto& [header, why] : cases) {
    write(header, 12);
    EXPECT_THAT(complaint(), HasSubstr(why)) << header;
  }
  write_header("{\"t\":", 12);
  EXPECT_THAT(complaint(), HasSubstr("not a JSON object"));
  for (const std::uint64_t length : {std::uint64_t{100}, ~std::uint64_t{0}, ~std::uint64_t{0} - 7}) {
    std::string bytes(20, ' ');
    std::memcpy(bytes.data(), &length, sizeof length);
    write(bytes);
    EXPECT_THAT(complaint(), HasSubstr("exceeds the file"));
  }
}

TEST_F(Safetensors, ReadsOnlyTheShapeAndTypeAskedFor) {
  const std::vector<float> values(12);
  const double wide = 1;
  save_safetensors(path_, {{"t", values.data(), 3, 4, 4, {3, 4}}, {"cube", values.data(), 6, 2, 2, {3, 2, 2}}},
                   {{"d", {"F64", {1}, std::as_bytes(std::span(&wide, 1))}}}, {});
  const SafetensorsFile file(path_);
  std::vector<float> to(12);
  EXPECT_NO_THROW(file.read("t", to.data(), 3, 4, 4));
  EXPECT_NO_THROW(file.read("cube", to.data(), 6, 2, 2));
  EXPECT_THROW(file.read("t", to.data(), 4, 3, 3), Error);
  EXPECT_THROW(file.read("t", to.data(), 1, 12, 12), Error);
  EXPECT_THROW(file.read("d", to.data(), 1, 1, 1), Error);
  EXPECT_THROW(file.read("absent", to.data(), 1, 1, 1), Error);
  EXPECT_THROW((void)file.shape("absent"), Error);
}

}  // namespace
}  // namespace esmm
