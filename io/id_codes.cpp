#include "io/id_codes.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "kernels/error.hpp"

namespace esmm {
namespace {

/// Calls look_up(table, id) for each feature in [begin, end), and prefetch(table, id) some features before.
template <class Prefetch, class LookUp>
void look_up_all(const FeatureRows& rows, const std::vector<int>& table_of, std::size_t begin, std::size_t end,
                 const Prefetch& prefetch, const LookUp& look_up, std::vector<std::uint32_t>& codes) {
  constexpr std::size_t kAhead = 32;
  for (std::size_t i = begin; i < end; ++i) {
    const std::size_t ahead = std::min(i + kAhead, end - 1);
    prefetch(table_of[rows.field[ahead]], rows.id[ahead]);
    codes[i] = look_up(table_of[rows.field[i]], rows.id[i]);
  }
}

}  // namespace

IdCodes::IdCodes(const Schema& schema, std::shared_ptr<const Vocabulary> vocabulary, ThreadPool& pool)
    : vocabulary_(std::move(vocabulary)), pool_(pool) {
  const std::vector<std::string> tables = schema.tables();
  if (vocabulary_ == nullptr) codes_.resize(tables.size());
  for (const Field& field : schema.fields) {
    const auto place = std::find(tables.begin(), tables.end(), field.table) - tables.begin();
    const int table = vocabulary_ == nullptr ? static_cast<int>(place) : vocabulary_->find_table(field.table);
    if (table < 0)
      throw data_error("the vocabulary has no table {} for field {}. It belongs to a log with another schema.",
                       field.table, field.name);
    (field.side == Side::sample ? sample_table_ : common_table_).push_back(table);
  }
}

void IdCodes::encode(const FeatureRows& rows, Side side, std::vector<std::uint32_t>& codes) {
  constexpr std::size_t kSlice = 1U << 14;
  const std::vector<int>& table_of = side == Side::sample ? sample_table_ : common_table_;
  const auto index = [&](int table) -> HashIndex<std::uint64_t>& { return codes_[static_cast<std::size_t>(table)]; };
  const std::size_t size = rows.row_end.empty() ? 0 : rows.row_end.back();
  codes.resize(size);
  pool_.for_each_chunk(static_cast<std::int64_t>((size + kSlice - 1) / kSlice), [&](std::int64_t slice, int) {
    const std::size_t begin = static_cast<std::size_t>(slice) * kSlice, end = std::min(begin + kSlice, size);
    if (vocabulary_ != nullptr) {
      look_up_all(
          rows, table_of, begin, end, [&](int table, std::uint64_t id) { vocabulary_->prefetch(table, id); },
          [&](int table, std::uint64_t id) { return vocabulary_->encode(table, id); }, codes);
    } else {
      look_up_all(
          rows, table_of, begin, end, [&](int table, std::uint64_t id) { index(table).prefetch(mix(id)); },
          [&](int table, std::uint64_t id) { return index(table).find(id, mix(id)); }, codes);
    }
  });
  if (vocabulary_ != nullptr) return;
  for (std::size_t i = 0; i < size; ++i) {  // in the order of the text: codes must not depend on the threads
    if (codes[i] != 0) continue;
    std::uint32_t& code = index(table_of[rows.field[i]])(rows.id[i], mix);
    if (code == 0) {
      if (last_ == std::numeric_limits<std::uint32_t>::max() - 1)
        throw data_error("more than 2^32 - 2 distinct ids. Pass --encoding hash, or split the log.");
      code = ++last_;
    }
    codes[i] = code;
  }
}

}  // namespace esmm
