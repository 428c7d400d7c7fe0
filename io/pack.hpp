#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "io/packed.hpp"
#include "io/rows.hpp"
#include "io/vocabulary.hpp"

namespace esmm {

enum class OnBadRow { error, skip };
enum class OnContradiction { drop, error, keep };

struct PackOptions {
  std::uint32_t min_count = 10;  // impressions in which an id must occur to get a row of its own
  Encoding encoding = Encoding::vocab;
  std::uint32_t buckets = 1U << 20;              // per table, encoding = hash
  std::shared_ptr<const Vocabulary> vocabulary;  // given: encode with it, count nothing
  OnBadRow on_bad_row = OnBadRow::error;
  OnContradiction on_contradiction = OnContradiction::drop;
  int threads = 0;
  std::function<void(const char* stage, std::uint64_t rows, std::uint64_t text_bytes)> progress;  // may be empty
  std::function<void(const std::string&)> warn;  // one line; may be empty
};

/// Packs a log into a new packed dataset at `directory` (written under a temporary name and renamed; must not exist).
/// Text is parsed once: tokenised rows go to temporary files in ranges of common rows, the vocabulary is counted, then
/// each range is encoded and written block by block. Memory is bounded by the distinct ids plus one range.
/// The bytes written depend on the input and the options, never on the number of threads.
/// Throws Error: data (bad rows, contradictions under `error`, no usable row), io.
void pack(LogReader& log, const std::string& directory, const PackOptions& options);

}  // namespace esmm
