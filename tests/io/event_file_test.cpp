#include "io/events/event_file.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/support/temporary_directory.hpp"

namespace esmm {
namespace {

namespace fs = std::filesystem;

/// CRC-32C bit by bit (RFC 3720, appendix B.4), then the mask of a TFRecord.
std::uint32_t reference_masked_crc(const std::string& bytes) {
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0x82F63B78U : 0U);
  }
  crc = ~crc;
  return ((crc >> 15U) | (crc << 17U)) + 0xA282EAD8U;
}

template <class T>
T take(const std::string& bytes, std::size_t& at) {
  T value{};
  EXPECT_LE(at + sizeof value, bytes.size());
  std::memcpy(&value, bytes.data() + at, sizeof value);
  at += sizeof value;
  return value;
}

/// The messages of a file; every length and checksum is looked at.
std::vector<std::string> messages(const std::string& path) {
  const std::string bytes = test::read_bytes(path);
  std::vector<std::string> found;
  for (std::size_t at = 0; at < bytes.size();) {
    const auto length = take<std::uint64_t>(bytes, at);
    const auto length_crc = take<std::uint32_t>(bytes, at);
    EXPECT_EQ(length_crc, reference_masked_crc(bytes.substr(at - 12, 8)));
    if (at + length + 4 > bytes.size()) {
      ADD_FAILURE() << "the record at " << at << " reaches beyond the file";
      break;
    }
    found.push_back(bytes.substr(at, length));
    at += length;
    const auto crc = take<std::uint32_t>(bytes, at);
    EXPECT_EQ(crc, reference_masked_crc(found.back()));
  }
  return found;
}

TEST(EventFile, ChecksumIsTheMaskedCrc32cOfRfc3720) {
  const auto masked = [](const std::string& text) { return masked_crc32c(std::as_bytes(std::span(text))); };
  EXPECT_EQ(reference_masked_crc(std::string(32, '\0')), std::rotr(0x8A9136AAU, 15) + 0xA282EAD8U);  // of the RFC
  for (const std::size_t length : {0U, 1U, 7U, 32U, 1000U}) {
    std::string text;
    for (std::size_t i = 0; i < length; ++i) text += static_cast<char>(i * 37 + 5);
    EXPECT_EQ(masked(text), reference_masked_crc(text)) << length;
  }
}

TEST(EventFile, RecordsAreFramedAndHoldTheFieldsOfTensorFlow) {
  const test::TemporaryDirectory directory;
  EventFile file(directory.path(), 7);
  const std::vector<Scalar> scalars{{"loss", 0.0}, {"ctr", 1.5}};
  file.add(300, scalars);
  const std::vector<std::string> found = messages(file.path());
  ASSERT_EQ(found.size(), 3U);
  EXPECT_NE(found[0].find("\x1A\x0D"
                          "brain.Event:2"),
            std::string::npos);  // field 3, a string
  EXPECT_EQ(found[1].substr(9), std::string("\x10\x07"
                                            "\x3A\x02\x08\x01"));  // step 7, session_log.status = START
  const std::string step_300("\x10\xAC\x02", 3);
  const std::string loss("\x0A\x0B\x0A\x04loss\x15\0\0\0\0", 13);  // a value of 0 is written
  const std::string ctr(
      "\x0A\x0A\x0A\x03"
      "ctr\x15\0\0\xC0\x3F",
      12);
  EXPECT_EQ(found[2].substr(9), step_300 + "\x2A\x19" + loss + ctr);
}

TEST(EventFile, ALaterFileComesAfterTheEarlierOnesByName) {
  const test::TemporaryDirectory directory;
  std::ofstream(directory / "events.out.tfevents.9000000000.elsewhere.1").put('x');
  std::ofstream(directory / "events.out.tfevents.strange").put('x');
  std::vector<std::string> names;
  for (int i = 0; i < 3; ++i) names.push_back(fs::path(EventFile(directory.path(), 0).path()).filename());
  EXPECT_GT(names[0], "events.out.tfevents.9000000000.elsewhere.1");
  EXPECT_LT(names[0], names[1]);
  EXPECT_LT(names[1], names[2]);
}

}  // namespace
}  // namespace esmm
