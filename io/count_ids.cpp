#include "io/count_ids.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <mutex>
#include <set>
#include <string_view>
#include <utility>

#include "io/hash_index.hpp"

namespace esmm {
namespace {

struct Weighted {
  std::uint32_t code = 0, weight = 0;
};

/// A count per code. Threads add in batches, each batch to one shard with a lock of its own; sums do not depend on the
/// order of additions.
class CodeCounts {
 public:
  static constexpr std::size_t kShards = 16;

  explicit CodeCounts(std::size_t codes) : counts_(codes) {}

  [[nodiscard]] static std::size_t shard_of(std::uint32_t code) { return code % kShards; }

  void add(std::size_t shard, const std::vector<Weighted>& batch) {
    const std::lock_guard lock(locks_[shard]);
    for (const auto [code, weight] : batch) {
      const std::uint64_t sum = std::uint64_t{counts_[code]} + weight;
      counts_[code] =
          static_cast<std::uint32_t>(std::min<std::uint64_t>(sum, std::numeric_limits<std::uint32_t>::max()));
    }
  }

  [[nodiscard]] std::vector<std::uint32_t> take() { return std::move(counts_); }

 private:
  std::array<std::mutex, kShards> locks_;
  std::vector<std::uint32_t> counts_;
};

/// The distinct codes of one row. Emptied without touching its slots: a slot counts only if it carries the number of
/// the current row.
class RowSet {
 public:
  void start(std::size_t size) {
    const std::size_t needed = std::bit_ceil(std::max<std::size_t>(64, 2 * size));  // an empty row is asked, too
    if (slots_.size() < needed || ++row_ == 0) {
      slots_.assign(std::max(needed, slots_.size()), 0);
      shift_ = 64 - std::countr_zero(slots_.size());
      row_ = 1;
    }
  }
  /// True if the code is new.
  bool insert(std::uint32_t code) {
    std::uint64_t& slot = slots_[find(code)];
    return std::exchange(slot, slot_of(code)) != slot_of(code);
  }
  [[nodiscard]] bool contains(std::uint32_t code) const { return slots_[find(code)] == slot_of(code); }

 private:
  [[nodiscard]] std::uint64_t slot_of(std::uint32_t code) const { return std::uint64_t{row_} << 32 | code; }
  /// The code's slot, or the free one where it belongs.
  [[nodiscard]] std::size_t find(std::uint32_t code) const {
    std::size_t s = code * 0x9E3779B97F4A7C15ULL >> shift_;
    while (slots_[s] >> 32 == row_ && slots_[s] != slot_of(code)) s = (s + 1) & (slots_.size() - 1);
    return s;
  }
  std::vector<std::uint64_t> slots_;
  int shift_ = 0;
  std::uint32_t row_ = 0;
};

/// Counts the codes of ranges, on one thread.
class RangeCounter {
 public:
  RangeCounter(const Schema& schema, CodeCounts& counts) : counts_(counts), batches_(CodeCounts::kShards) {
    std::set<std::string_view> common_tables;
    for (const Field& field : schema.fields)
      if (field.side == Side::common) common_tables.insert(field.table);
    for (const Field& field : schema.fields)
      shared_ = shared_ || (field.side == Side::sample && common_tables.contains(field.table));
  }

  void count(const TokenRange& range) {
    for (std::size_t g = 0; g < range.groups(); ++g) {
      const std::size_t impressions = range.impressions(g);
      const TokenRow common = range.common(g);
      common_.start(common.size());
      for (std::size_t i = 0; i < common.size(); ++i)
        if (common_.insert(common.code(i))) add(common.code(i), static_cast<std::uint32_t>(impressions));
      for (std::size_t i = 0; i < impressions; ++i) count_sample(range.impression(g, i).features);
    }
    for (std::size_t shard = 0; shard < batches_.size(); ++shard) flush(shard);
  }

 private:
  static constexpr std::size_t kBatch = 1024;

  void count_sample(TokenRow row) {
    sample_.start(row.size());
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (shared_ && common_.contains(row.code(i))) continue;  // counted with the common row
      if (sample_.insert(row.code(i))) add(row.code(i), 1);
    }
  }

  void add(std::uint32_t code, std::uint32_t weight) {
    const std::size_t shard = CodeCounts::shard_of(code);
    batches_[shard].push_back({code, weight});
    if (batches_[shard].size() >= kBatch) flush(shard);
  }

  void flush(std::size_t shard) {
    counts_.add(shard, batches_[shard]);
    batches_[shard].clear();
  }

  CodeCounts& counts_;
  std::vector<std::vector<Weighted>> batches_;
  bool shared_ = false;  // a table is used on both sides
  RowSet common_, sample_;
};

/// The ids of a table with `min_count` by falling count, ties by id. Puts the row of each in the place of its count.
Vocabulary::Table make_table(const HashIndex<std::uint64_t>& codes, std::uint32_t min_count,
                             std::vector<std::uint32_t>& counts) {
  struct Counted {
    std::uint64_t id = 0;
    std::uint32_t count = 0, code = 0;
  };
  Vocabulary::Table table;
  std::vector<Counted> kept;
  codes.for_each([&](std::uint64_t id, std::uint32_t code) {
    const std::uint32_t count = std::exchange(counts[code], 0);
    if (count == 0) return;  // met in rows that were dropped only
    ++table.distinct_seen;
    if (count >= min_count) kept.push_back({id, count, code});
  });
  std::sort(kept.begin(), kept.end(),
            [](const Counted& a, const Counted& b) { return a.count != b.count ? a.count > b.count : a.id < b.id; });
  table.ids.reserve(kept.size());
  for (const Counted& counted : kept) {
    table.ids.push_back(counted.id);
    counts[counted.code] = static_cast<std::uint32_t>(table.ids.size());
  }
  table.rows = static_cast<std::uint32_t>(table.ids.size() + 1);
  return table;
}

}  // namespace

CodedVocabulary count_vocabulary(const TokenisedLog& log, const Schema& schema, IdCodes& codes, std::uint32_t min_count,
                                 ThreadPool& pool, std::vector<TokenRange>& memory,
                                 const std::function<void(std::size_t)>& done) {
  CodeCounts counts(codes.last() + std::size_t{1});
  std::vector<RangeCounter> counters(static_cast<std::size_t>(pool.threads()), RangeCounter(schema, counts));
  for_each_range(
      log, pool, memory,
      [&](std::size_t, const TokenRange& range, std::size_t thread) { counters[thread].count(range); },
      [&](std::size_t, std::size_t end) { done(end); });

  CodedVocabulary result{nullptr, counts.take()};
  const auto names = schema.tables();
  std::vector<Vocabulary::Table> tables(names.size());
  pool.for_each_chunk(static_cast<std::int64_t>(names.size()), [&](std::int64_t chunk, int) {
    const auto t = static_cast<std::size_t>(chunk);
    tables[t] = make_table(codes.take(t), min_count, result.row_of_code);
    tables[t].name = names[t];
  });
  result.vocabulary = std::make_shared<const Vocabulary>(std::move(tables), min_count);
  return result;
}

}  // namespace esmm
