#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "io/tokenise.hpp"
#include "io/vocabulary.hpp"

namespace esmm {

/// A vocabulary, and the embedding row of each code that its log was tokenised with: none where codes are rows.
struct CodedVocabulary {
  std::shared_ptr<const Vocabulary> vocabulary;
  std::vector<std::uint32_t> row_of_code;
};

/// Makes the vocabulary of a log: counts in how many impressions each id occurs (once per impression, however often it
/// stands there; an id of a common row counts for every impression of that row) and keeps those with `min_count`.
/// Exact and independent of the number of threads. Takes the ids out of `codes`. `done(ranges)` is called on the
/// calling thread.
[[nodiscard]] CodedVocabulary count_vocabulary(const TokenisedLog& log, const Schema& schema, IdCodes& codes,
                                               std::uint32_t min_count, ThreadPool& pool,
                                               std::vector<TokenRange>& memory,
                                               const std::function<void(std::size_t)>& done);

}  // namespace esmm
