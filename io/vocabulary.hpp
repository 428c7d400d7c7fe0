#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/schema.hpp"

namespace esmm {

enum class Encoding : std::uint8_t { vocab, hash };

/// Maps feature ids to embedding rows, per table. Vocabulary tables: row 0 is for everything unknown (out of
/// vocabulary), rows 1… are the kept ids by falling frequency, ties by id. Hashed tables: row = hash(id) mod buckets.
/// Immutable once built; safe to share between threads.
class Vocabulary {
 public:
  struct Table {
    std::string name;
    Encoding encoding = Encoding::vocab;
    std::uint32_t rows = 1;           // including row 0
    std::uint64_t distinct_seen = 0;  // before --min-count
    std::vector<std::uint64_t> ids;   // [rows - 1] id of row i+1 (vocab only)
  };

  Vocabulary(std::vector<Table> tables, std::uint32_t min_count);
  ~Vocabulary();

  [[nodiscard]] const std::vector<Table>& tables() const;
  [[nodiscard]] int find_table(std::string_view name) const;  // -1 if absent
  [[nodiscard]] std::uint32_t encode(int table, std::uint64_t id) const;
  /// Starts loading what `encode` of this id will need.
  void prefetch(int table, std::uint64_t id) const;
  [[nodiscard]] std::uint32_t min_count() const;
  /// XXH3 of names, encodings, sizes and ids, as 16 hex digits: two vocabularies encode alike iff it is equal.
  [[nodiscard]] const std::string& hash() const;

  /// A directory of vocabulary.json and one <table>.ids file each; checksummed. docs/data_format.md has the layout.
  void save(const std::string& directory) const;
  [[nodiscard]] static std::shared_ptr<const Vocabulary> load(const std::string& directory);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace esmm
