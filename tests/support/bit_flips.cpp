#include "tests/support/bit_flips.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>

namespace esmm::test {
namespace {

constexpr std::uint64_t kFew = 200;

void flip(const std::string& path, std::uint64_t bit) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  const auto place = static_cast<std::streamoff>(bit / 8);
  const int byte = file.seekg(place).get();
  file.seekp(place).put(static_cast<char>(byte ^ (1 << (bit % 8)))).flush();
  if (!file) throw std::runtime_error("cannot change " + path);
}

/// The bits of one part of each file, headers or payloads, counted through all files.
class Bits {
 public:
  void add(const std::string& path, std::uint64_t first_byte, std::uint64_t end_byte) {
    if (end_byte > first_byte) parts_.push_back({path, first_byte * 8, (end_byte - first_byte) * 8});
    count_ += (end_byte - first_byte) * 8;
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  void expect_found(std::uint64_t bit, const std::function<bool()>& is_whole) const {
    auto part = parts_.begin();
    for (; bit >= part->bits; ++part) bit -= part->bits;
    flip(part->path, part->first + bit);
    EXPECT_FALSE(is_whole()) << part->path << ": bit " << part->first + bit << " can change unnoticed";
    flip(part->path, part->first + bit);
  }

 private:
  struct Part {
    std::string path;
    std::uint64_t first, bits;
  };
  std::vector<Part> parts_;
  std::uint64_t count_ = 0;
};

}  // namespace

void expect_flips_found(const std::vector<FlippedFile>& files, const std::function<bool()>& is_whole) {
  Bits headers, payloads;
  for (const FlippedFile& file : files) {
    headers.add(file.path, 0, file.header_bytes);
    payloads.add(file.path, file.header_bytes, std::filesystem::file_size(file.path));
  }
  const char* const many = std::getenv("ESMM_BIT_FLIPS");
  std::mt19937_64 random(1);
  ASSERT_TRUE(is_whole());
  if (many != nullptr) {
    for (std::uint64_t bit = 0; bit < headers.count(); ++bit) headers.expect_found(bit, is_whole);
  } else {
    for (std::uint64_t i = 0; i < kFew; ++i) headers.expect_found(random() % headers.count(), is_whole);
  }
  const std::uint64_t sample = many != nullptr ? std::strtoull(many, nullptr, 10) : kFew;
  for (std::uint64_t i = 0; i < sample; ++i) payloads.expect_found(random() % payloads.count(), is_whole);
  EXPECT_TRUE(is_whole()) << "what was flipped is flipped back";
  testing::Test::RecordProperty("header_bits", std::to_string(many != nullptr ? headers.count() : kFew));
  testing::Test::RecordProperty("payload_bits", std::to_string(sample));
}

}  // namespace esmm::test
