#include "io/text_source.hpp"

#include <atomic>
#include <random>
#include <stdexcept>

#include "io/chunk_parser.hpp"
#include "tests/io/log_files.hpp"

namespace esmm {
namespace {

using test::error_of;
using test::gzip;
using test::TemporaryDirectory;
using test::zstd;
using ::testing::HasSubstr;

struct Line {
  std::uint64_t number;
  std::uint64_t row;
  std::string text;
  friend bool operator==(const Line&, const Line&) = default;
};

std::vector<Line> lines_of(const std::string& path, std::size_t chunk_bytes) {
  std::vector<Line> lines;
  TextSource source(path, "log", chunk_bytes);
  TextChunk chunk;
  while (source.next(chunk)) {
    std::uint64_t number = chunk.first_line;
    std::uint64_t row = chunk.first_row;
    for (std::string_view rest = chunk.text(); !rest.empty(); ++number) {
      const std::string_view line = take_line(rest);
      if (!line.empty()) lines.push_back({number, row++, std::string(line)});
    }
  }
  return lines;
}

TEST(TextSource, CutsAtLineEndsWhateverTheChunkSizeAndTheCompression) {
  const TemporaryDirectory directory;
  std::mt19937 random(5);
  std::string text;
  std::vector<Line> expected;
  for (std::uint64_t number = 1; number <= 500; ++number) {
    std::string line(random() % 150, 'x');
    for (char& c : line) c = static_cast<char>('a' + random() % 26);
    if (!line.empty()) expected.push_back({number, expected.size(), line});
    text += line + (random() % 2 == 0 ? "\n" : "\r\n");
  }
  text += "last, without an end";
  expected.push_back({501, expected.size(), "last, without an end"});

  const std::size_t half = text.size() / 2;
  const std::string_view view = text;
  const std::vector<std::string> paths{
      directory.write("plain", text),
      directory.write("gz", gzip(text)),
      directory.write("zst", zstd(text)),
      directory.write("members", gzip(view.substr(0, half)) + gzip("") + gzip(view.substr(half))),
      directory.write("padded", gzip(text) + std::string(300'000, '\0')),
      directory.write("padding between", gzip(view.substr(0, half)) + std::string(7, '\0') + gzip(view.substr(half))),
      directory.write("frames", zstd(view.substr(0, half)) + zstd(view.substr(half))),
      directory.write("skippable", std::string("\x50\x2A\x4D\x18\x02\0\0\0ab", 10) + zstd(text))};
  for (const std::string& path : paths) {
    for (const std::size_t chunk_bytes : {1, 64, 1000, 1 << 20}) {
      EXPECT_EQ(lines_of(path, chunk_bytes), expected) << path << " " << chunk_bytes;
    }
  }
}

TEST(TextSource, ReadsDataLargerThanTheInputBuffersOfTheDecoders) {
  const TemporaryDirectory directory;
  std::mt19937 random(6);
  std::string text;  // about 4 MB that hardly compress: several refills
  while (text.size() < 4'000'000) text += std::to_string(random()) + "\n";
  const auto expected = lines_of(directory.write("plain", text), 1 << 20);
  EXPECT_EQ(lines_of(directory.write("gz", gzip(text)), 1 << 20), expected);
  EXPECT_EQ(lines_of(directory.write("zst", zstd(text)), 1 << 20), expected);
}

TEST(TextSource, SkipsAByteOrderMarkAndEmptyFiles) {
  const TemporaryDirectory directory;
  EXPECT_EQ(lines_of(directory.write("bom",
                                     "\xEF\xBB\xBF"
                                     "a\n"),
                     64),
            (std::vector<Line>{{1, 0, "a"}}));
  for (const std::string& content : {std::string(), gzip(""), zstd("")}) {
    EXPECT_TRUE(lines_of(directory.write("empty", content), 64).empty());
  }
}

TEST(TextSource, NamesTruncatedAndCorruptData) {
  const TemporaryDirectory directory;
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += std::to_string(i * i) + "\n";
  const auto error = [&](const std::string& content) {
    return error_of([&] { lines_of(directory.write("log", content), 1000); });
  };
  const std::string gz = gzip(text);
  const std::string zst = zstd(text);
  for (const std::size_t keep : {std::size_t{5}, gz.size() / 2, gz.size() - 1}) {
    EXPECT_THAT(error(gz.substr(0, keep)), HasSubstr("/log: truncated gzip data: the file ends early"));
  }
  for (const std::size_t keep : {std::size_t{5}, zst.size() / 2, zst.size() - 1}) {
    EXPECT_THAT(error(zst.substr(0, keep)), HasSubstr("/log: truncated zstd data: the file ends early"));
  }
  EXPECT_THAT(error(gz + std::string(9, '\0') + "x"), HasSubstr("/log: "));
  std::string damaged = gz;
  damaged[gz.size() - 6] ^= 1;  // in the checksum
  EXPECT_THAT(error(damaged), HasSubstr("/log: corrupt gzip data (incorrect data check)"));
  EXPECT_THAT(error(gz + "rubbish"), HasSubstr("corrupt gzip data (incorrect header check)"));
  damaged = zst;
  for (std::size_t i = 20; i < 60; ++i) damaged[i] = '\xFF';
  EXPECT_THAT(error(damaged), HasSubstr("/log: corrupt zstd data ("));
}

TEST(TextSource, RefusesBinaryFilesNamingTheLine) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("log", std::string("one\ntwo\nth\0ree\n", 15));
  for (const std::size_t chunk_bytes : {4, 1000}) {
    EXPECT_THAT(error_of([&] { lines_of(path, chunk_bytes); }), HasSubstr("log:3: contains NUL bytes"));
  }
}

TEST(TextSource, RefusesAnEndlessLine) {
  const TemporaryDirectory directory;
  const std::string text = "first\n" + std::string(3 * TextSource::kLongestLine, 'x') + "\nlast\n";
  EXPECT_THAT(error_of([&] { lines_of(directory.write("log", zstd(text)), 1 << 20); }),
              HasSubstr("log:2: a line of more than 64 MB"));
}

TEST(TextSource, OfAMissingFileIsAnIoErrorWithTheSystemsMessage) {
  EXPECT_THAT(error_of([] { lines_of("/nonexistent/log", 64); }, ExitCode::io),
              HasSubstr("/nonexistent/log: cannot open: No such file or directory"));
  EXPECT_THAT(error_of([] { lines_of("/tmp", 64); }, ExitCode::io), HasSubstr("/tmp: cannot read: Is a directory"));
}

TEST(ParseInOrder, DeliversInFileOrderForAnyNumberOfThreads) {
  const TemporaryDirectory directory;
  std::string text;
  for (int i = 0; i < 3000; ++i) text += std::to_string(i) + "\n";
  const std::string path = directory.write("log", text);
  for (const int threads : {1, 2, 5}) {
    TextSource source(path, path, 64);
    std::string joined;
    const auto parse = [](const TextChunk& chunk, std::string& out) { out = chunk.text(); };
    parse_in_order<std::string>(source, threads, parse, [&](std::string&& chunk) { joined += chunk; });
    EXPECT_EQ(joined, text) << threads;
  }
}

TEST(ParseInOrder, DeliversWhatPrecedesAnErrorAndThenRethrowsIt) {
  const TemporaryDirectory directory;
  std::string text;
  for (int i = 0; i < 3000; ++i) text += std::to_string(i) + "\n";
  const std::string path = directory.write("log", text);
  const std::size_t position = text.find("\n2000\n") + 1;
  for (const int threads : {1, 2, 5}) {
    TextSource source(path, path, 64);
    std::string joined;
    const auto parse = [](const TextChunk& chunk, std::string& out) {
      out = chunk.text();
      if (out.find("2000\n") != std::string::npos) throw std::runtime_error("no 2000");
    };
    const auto sink = [&](std::string&& chunk) { joined += chunk; };
    EXPECT_THROW(parse_in_order<std::string>(source, threads, parse, sink), std::runtime_error);
    EXPECT_EQ(joined, text.substr(0, joined.size()));
    EXPECT_LE(joined.size(), position) << threads;
    EXPECT_GT(joined.size() + 128, position) << threads;  // every chunk before the one with 2000
  }
}

TEST(ParseInOrder, StopsWhenTheSinkThrows) {
  const TemporaryDirectory directory;
  std::string text;
  for (int i = 0; i < 3000; ++i) text += std::to_string(i) + "\n";
  const std::string path = directory.write("log", text);
  for (const int threads : {1, 2, 5}) {
    TextSource source(path, path, 64);
    int delivered = 0;
    std::atomic<int> parsed = 0;
    const auto parse = [&](const TextChunk&, std::string&) { ++parsed; };
    const auto sink = [&](std::string&&) {
      if (++delivered == 3) throw std::runtime_error("disk full");
    };
    EXPECT_THROW(parse_in_order<std::string>(source, threads, parse, sink), std::runtime_error);
    EXPECT_EQ(delivered, 3);
    EXPECT_LE(parsed.load(), 3 + 5 + 2 + 1) << threads;  // no more than the ring holds
  }
}

}  // namespace
}  // namespace esmm
