#pragma once
// Logs in temporary directories, and what reading them gives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/readers.hpp"
#include "kernels/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm::test {

/// A line that a reader must refuse, and how: the kind, and the message without its place and remedy.
struct BadLine {
  const char* line;
  BadRowKind kind;
  const char* message;
};

inline std::string gzip(std::string_view text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string result(deflateBound(&stream, text.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  result.resize(stream.total_out);
  deflateEnd(&stream);
  return result;
}

inline std::string zstd(std::string_view text) {
  std::string result(ZSTD_compressBound(text.size()), '\0');
  result.resize(ZSTD_compress(result.data(), result.size(), text.data(), text.size(), 3));
  return result;
}

/// The message of the Error that the action must throw.
inline std::string error_of(const std::function<void()>& action, ExitCode expected = ExitCode::data) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), expected) << error.what();
    EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no Error was thrown";
  return {};
}

inline void append(const FeatureRows& from, FeatureRows& to) {
  for (std::size_t row = 0; row < from.row_end.size(); ++row) append_row(from, row, to);
}
template <class T>
void append(const std::vector<T>& from, std::vector<T>& to) {
  to.insert(to.end(), from.begin(), from.end());
}

inline ImpressionRows impressions(LogReader& log) {
  ImpressionRows all;
  log.read_impressions([&](ImpressionRows&& rows) {
    for (std::size_t i = 0; i < rows.sample_id.size(); ++i) all.sample_id.push_back(rows.sample_id[i]);
    append(rows.click, all.click);
    append(rows.conversion, all.conversion);
    append(rows.common, all.common);
    append(rows.features, all.features);
    append(rows.dense, all.dense);
    append(rows.line, all.line);
    append(rows.bad, all.bad);
    all.text_bytes += rows.text_bytes;
  });
  return all;
}

inline CommonRows common_rows(LogReader& log) {
  CommonRows all;
  log.read_common([&](CommonRows&& rows) {
    append(rows.key, all.key);
    append(rows.features, all.features);
    append(rows.line, all.line);
    append(rows.bad, all.bad);
    all.text_bytes += rows.text_bytes;
  });
  return all;
}

/// One row's features as "field:id:value …", with the schema's names.
inline std::string features_of(const FeatureRows& rows, std::size_t row, const std::vector<Field>& fields) {
  std::string text;
  for (std::size_t i = row == 0 ? 0 : rows.row_end[row - 1]; i < rows.row_end[row]; ++i) {
    text += fmt::format("{}{}:{}:{}", text.empty() ? "" : " ", fields[rows.field[i]].name, rows.id[i], rows.value[i]);
  }
  return text;
}

/// Everything about the rows in one text, for comparing readings.
inline std::string digest(const ImpressionRows& rows) {
  std::string text;
  std::size_t feature = 0;
  const std::size_t dense = rows.line.empty() ? 0 : rows.dense.size() / rows.line.size();
  for (std::size_t row = 0; row < rows.line.size(); ++row) {
    text += fmt::format("{} {} {} {}", rows.line[row], rows.sample_id[row], rows.click[row], rows.conversion[row]);
    if (!rows.common.empty()) text += fmt::format(" {:x}{:x}", rows.common[row].high, rows.common[row].low);
    for (; feature < rows.features.row_end[row]; ++feature) {
      text += fmt::format(" {}:{}:{}", rows.features.field[feature], rows.features.id[feature],
                          rows.features.value[feature]);
    }
    for (std::size_t i = 0; i < dense; ++i) text += fmt::format(" {}", rows.dense[row * dense + i]);
    text += '\n';
  }
  for (const BadRow& bad : rows.bad) text += fmt::format("{} {}\n", name(bad.kind), bad.message);
  return text;
}
inline std::string digest(const CommonRows& rows) {
  std::string text;
  std::size_t feature = 0;
  for (std::size_t row = 0; row < rows.line.size(); ++row) {
    text += fmt::format("{} {:x}{:x}", rows.line[row], rows.key[row].high, rows.key[row].low);
    for (; feature < rows.features.row_end[row]; ++feature) {
      text += fmt::format(" {}:{}:{}", rows.features.field[feature], rows.features.id[feature],
                          rows.features.value[feature]);
    }
    text += '\n';
  }
  for (const BadRow& bad : rows.bad) text += fmt::format("{} {}\n", name(bad.kind), bad.message);
  return text;
}

/// Reader options with few threads, as most tests want them.
inline ReaderOptions options(int threads = 1) {
  ReaderOptions result;
  result.threads = threads;
  return result;
}

}  // namespace esmm::test
