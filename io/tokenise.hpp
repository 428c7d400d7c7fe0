#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/id_codes.hpp"
#include "io/pack.hpp"
#include "io/token_store.hpp"
#include "kernels/thread_pool.hpp"

namespace esmm {

/// A log after its one pass of parsing, cut into ranges: consecutive common rows together with all impressions that
/// refer to them. Without common rows, consecutive impressions.
struct TokenisedLog {
  explicit TokenisedLog(const std::string& directory) : common(directory), impressions(directory) {}
  [[nodiscard]] std::size_t ranges() const { return std::max(common.ranges(), impressions.ranges()); }

  bool has_common = false;
  std::size_t dense = 0;  // columns
  TokenStore common, impressions;
  DatasetStatistics statistics;  // what is known from parsing
};

/// Parses the log once. Throws Error (data) as the options ask for.
void tokenise(LogReader& log, const PackOptions& options, IdCodes& codes, TokenisedLog& out);

/// One range in memory, its impressions grouped by common row in input order. Common rows without impressions are
/// left out.
class TokenRange {
 public:
  void load(const TokenisedLog& log, std::size_t range);
  [[nodiscard]] std::size_t groups() const { return groups_.size(); }
  [[nodiscard]] TokenRow common(std::size_t group) const { return groups_[group].common; }
  [[nodiscard]] std::size_t impressions(std::size_t group) const { return groups_[group].end - groups_[group].begin; }
  /// Of the common row and all its impressions.
  [[nodiscard]] std::uint64_t ids(std::size_t group) const { return groups_[group].ids; }
  [[nodiscard]] ImpressionTokens impression(std::size_t group, std::size_t i) const {
    constexpr std::size_t kAhead = 4;
    const std::size_t place = groups_[group].begin + i;
    if (place + kAhead < order_.size()) __builtin_prefetch(&impressions_[order_[place + kAhead]]);
    std::size_t at = order_[place];
    return read_impression_tokens(impressions_, dense_, at);
  }
  [[nodiscard]] std::uint64_t unused_common_rows() const { return unused_; }

 private:
  struct Group {
    TokenRow common;
    std::size_t begin = 0, end = 0;  // in order_
    std::uint64_t ids = 0;
  };
  struct Place {
    std::uint64_t begin = 0;  // in impressions_
    std::uint32_t common_row = 0;
  };
  std::size_t dense_ = 0;
  std::uint64_t unused_ = 0;
  std::vector<std::byte> common_memory_, impression_memory_;
  std::span<const std::byte> impressions_;
  std::vector<Group> groups_;
  std::vector<std::uint64_t> order_;  // where each impression begins, grouped
  std::vector<Place> places_;         // in the order of the input
};

/// Calls body(number, range, thread) for every range of the log on the pool's threads, a wave of ranges at a time, and
/// done(first, end) on the calling thread after each wave. Ranges are loaded into `memory`, one for each thread.
template <class Body, class Done>
void for_each_range(const TokenisedLog& log, ThreadPool& pool, std::vector<TokenRange>& memory, const Body& body,
                    const Done& done) {
  memory.resize(static_cast<std::size_t>(pool.threads()));
  const std::size_t wave = 4 * memory.size();
  for (std::size_t first = 0; first < log.ranges(); first += wave) {
    const std::size_t end = std::min(first + wave, log.ranges());
    pool.for_each_chunk(static_cast<std::int64_t>(end - first), [&](std::int64_t chunk, int thread) {
      TokenRange& range = memory[static_cast<std::size_t>(thread)];
      const std::size_t number = first + static_cast<std::size_t>(chunk);
      range.load(log, number);
      body(number, std::as_const(range), static_cast<std::size_t>(thread));
    });
    done(first, end);
  }
}

}  // namespace esmm
