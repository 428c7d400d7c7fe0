#pragma once
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "io/hash_index.hpp"
#include "io/rows.hpp"
#include "io/vocabulary.hpp"
#include "kernels/thread_pool.hpp"

namespace esmm {

/// 32-bit codes that stand for feature ids while a log is packed, so that an id is looked up once. With a vocabulary
/// an id's code is its embedding row; without, codes count up from 1 over all tables as ids are first met.
class IdCodes {
 public:
  /// Throws Error (data) if a table of the schema is missing from the vocabulary, which may be null.
  IdCodes(const Schema& schema, std::shared_ptr<const Vocabulary> vocabulary, ThreadPool& pool);

  /// The code of every feature of consecutive rows of one side, on the pool's threads; the same whatever their number.
  /// Throws Error (data) when there are more ids than codes.
  void encode(const FeatureRows& rows, Side side, std::vector<std::uint32_t>& codes);

  /// The last code that was given out; 0 with a vocabulary.
  [[nodiscard]] std::uint32_t last() const { return last_; }
  /// The codes of one table's ids, which are forgotten here. Safe from several threads for different tables.
  [[nodiscard]] HashIndex<std::uint64_t> take(std::size_t table) { return std::exchange(codes_[table], {}); }

 private:
  std::shared_ptr<const Vocabulary> vocabulary_;
  ThreadPool& pool_;
  std::vector<int> sample_table_, common_table_;  // of each field of a side
  std::vector<HashIndex<std::uint64_t>> codes_;   // per table of the schema, without a vocabulary
  std::uint32_t last_ = 0;
};

}  // namespace esmm
