#include "io/count_ids.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "io/hash_index.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

struct Counted {
  std::uint64_t id = 0;
  std::uint32_t count = 0;
};

/// Counts per table and id. A table is split into shards by the id's hash, each with a lock of its own; sums do not
/// depend on the order of additions.
class IdCounts {
 public:
  static constexpr std::size_t kShardBits = 4;
  static constexpr std::size_t kShards = 1U << kShardBits;

  explicit IdCounts(std::size_t tables) : shards_(tables * kShards) {}

  [[nodiscard]] std::size_t shards() const { return shards_.size(); }
  [[nodiscard]] static std::size_t shard_of(std::size_t table, std::uint64_t id) {
    return table * kShards + (mix(id) >> (64 - kShardBits));
  }

  void add(std::size_t shard, const std::vector<Counted>& batch) {
    constexpr std::size_t kAhead = 12;
    Shard& s = shards_[shard];
    const std::lock_guard lock(s.mutex);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (i + kAhead < batch.size()) s.counts.prefetch(mix(batch[i + kAhead].id));
      std::uint32_t& count = s.counts(batch[i].id, mix);
      const std::uint64_t sum = std::uint64_t{count} + batch[i].count;
      count = static_cast<std::uint32_t>(std::min<std::uint64_t>(sum, std::numeric_limits<std::uint32_t>::max()));
    }
  }

  /// The table's ids with `min_count` by falling count, ties by id. Frees the counts.
  [[nodiscard]] Vocabulary::Table take_table(std::size_t table, std::uint32_t min_count) {
    Vocabulary::Table result;
    std::vector<Counted> kept;
    for (std::size_t s = table * kShards; s < (table + 1) * kShards; ++s) {
      const HashIndex<std::uint64_t> counts = std::exchange(shards_[s].counts, {});
      result.distinct_seen += counts.size();
      counts.for_each([&](std::uint64_t id, std::uint32_t count) {
        if (count >= min_count) kept.push_back({id, count});
      });
    }
    std::sort(kept.begin(), kept.end(),
              [](const Counted& a, const Counted& b) { return a.count != b.count ? a.count > b.count : a.id < b.id; });
    if (kept.size() >= std::numeric_limits<std::uint32_t>::max())
      throw data_error("a table has {} ids; 2^32 - 2 are possible. Raise --min-count.", kept.size());
    result.rows = static_cast<std::uint32_t>(kept.size() + 1);
    result.ids.reserve(kept.size());
    for (const Counted& counted : kept) result.ids.push_back(counted.id);
    return result;
  }

 private:
  struct Shard {
    std::mutex mutex;
    HashIndex<std::uint64_t> counts;
  };
  std::vector<Shard> shards_;
};

/// The distinct (table, id) pairs of one row. Emptied without touching its slots: a slot counts only if it carries the
/// number of the current row.
class RowSet {
 public:
  void start(std::size_t size) {
    const std::size_t needed = std::max<std::size_t>(64, 2 * size);  // an empty row is asked for its ids, too
    if (slots_.size() < needed) {
      slots_.assign(std::bit_ceil(needed), {});
      row_ = 0;
    }
    ++row_;
  }
  /// True if the pair is new.
  bool insert(std::uint16_t table, std::uint64_t id) {
    Slot& slot = slots_[find(table, id)];
    if (slot.row_and_table >> 16 == row_) return false;
    slot = {id, row_ << 16 | table};
    return true;
  }
  [[nodiscard]] bool contains(std::uint16_t table, std::uint64_t id) const {
    return slots_[find(table, id)].row_and_table >> 16 == row_;
  }

 private:
  struct Slot {
    std::uint64_t id = 0;
    std::uint64_t row_and_table = 0;
  };
  /// The pair's slot, or the free one where it belongs.
  [[nodiscard]] std::size_t find(std::uint16_t table, std::uint64_t id) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t s = mix(id + table) & mask;
    while (slots_[s].row_and_table >> 16 == row_ &&
           (slots_[s].id != id || slots_[s].row_and_table != (row_ << 16 | table)))
      s = (s + 1) & mask;
    return s;
  }
  std::vector<Slot> slots_;
  std::uint64_t row_ = 0;
};

/// Counts the ids of ranges, on one thread.
class RangeCounter {
 public:
  RangeCounter(const Schema& schema, IdCounts& counts) : counts_(counts), batches_(counts.shards()) {
    const auto tables = schema.tables();
    std::vector<bool> on_sample(tables.size()), on_common(tables.size());
    for (const Field& field : schema.fields) {
      const auto table =
          static_cast<std::uint16_t>(std::find(tables.begin(), tables.end(), field.table) - tables.begin());
      (field.side == Side::sample ? sample_table_ : common_table_).push_back(table);
      (field.side == Side::sample ? on_sample : on_common)[table] = true;
    }
    for (std::size_t t = 0; t < tables.size(); ++t) shared_ = shared_ || (on_sample[t] && on_common[t]);
  }

  void count(const TokenRange& range) {
    for (std::size_t g = 0; g < range.groups(); ++g) {
      const std::size_t impressions = range.impressions(g);
      const TokenRow common = range.common(g);
      common_.start(common.size());
      for (std::size_t i = 0; i < common.size(); ++i) {
        const std::uint16_t table = common_table_[common.field(i)];
        if (common_.insert(table, common.id(i))) add(table, common.id(i), static_cast<std::uint32_t>(impressions));
      }
      for (std::size_t i = 0; i < impressions; ++i) count_sample(range.impression(g, i).features);
    }
    for (std::size_t shard = 0; shard < batches_.size(); ++shard) flush(shard);
  }

 private:
  static constexpr std::size_t kBatch = 1024;

  void count_sample(TokenRow row) {
    sample_.start(row.size());
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::uint16_t table = sample_table_[row.field(i)];
      const std::uint64_t id = row.id(i);
      if (shared_ && common_.contains(table, id)) continue;  // counted with the common row
      if (sample_.insert(table, id)) add(table, id, 1);
    }
  }

  void add(std::uint16_t table, std::uint64_t id, std::uint32_t weight) {
    const std::size_t shard = IdCounts::shard_of(table, id);
    batches_[shard].push_back({id, weight});
    if (batches_[shard].size() >= kBatch) flush(shard);
  }

  void flush(std::size_t shard) {
    if (!batches_[shard].empty()) counts_.add(shard, batches_[shard]);
    batches_[shard].clear();
  }

  IdCounts& counts_;
  std::vector<std::vector<Counted>> batches_;
  std::vector<std::uint16_t> sample_table_, common_table_;  // of each field
  bool shared_ = false;                                     // a table is used on both sides
  RowSet common_, sample_;
};

}  // namespace

std::shared_ptr<const Vocabulary> count_vocabulary(const TokenisedLog& log, const Schema& schema,
                                                   std::uint32_t min_count, ThreadPool& pool,
                                                   const std::function<void(std::size_t)>& done) {
  const auto names = schema.tables();
  IdCounts counts(names.size());
  std::vector<TokenRange> ranges(static_cast<std::size_t>(pool.threads()));
  std::vector<RangeCounter> counters(ranges.size(), RangeCounter(schema, counts));
  for_each_range(
      log, pool,
      [&](std::size_t range, std::size_t thread) {
        ranges[thread].load(log, range);
        counters[thread].count(ranges[thread]);
      },
      [&](std::size_t, std::size_t end) { done(end); });

  std::vector<Vocabulary::Table> tables(names.size());
  pool.for_each_chunk(static_cast<std::int64_t>(names.size()), [&](std::int64_t chunk, int) {
    const auto t = static_cast<std::size_t>(chunk);
    tables[t] = counts.take_table(t, min_count);
    tables[t].name = names[t];
  });
  return std::make_shared<const Vocabulary>(std::move(tables), min_count);
}

}  // namespace esmm
