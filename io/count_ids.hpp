#pragma once
#include <cstdint>
#include <functional>
#include <memory>

#include "io/tokenise.hpp"
#include "io/vocabulary.hpp"

namespace esmm {

/// Makes the vocabulary of a log: counts in how many impressions each id occurs (once per impression, however often it
/// stands there; an id of a common row counts for every impression of that row) and keeps those with `min_count`.
/// Exact and independent of the number of threads. `done(ranges)` is called on the calling thread.
[[nodiscard]] std::shared_ptr<const Vocabulary> count_vocabulary(const TokenisedLog& log, const Schema& schema,
                                                                 std::uint32_t min_count, ThreadPool& pool,
                                                                 const std::function<void(std::size_t)>& done);

}  // namespace esmm
