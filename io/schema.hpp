#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace esmm {

enum class Side : std::uint8_t { sample, common };  // per impression, or once per common (user) row

/// One categorical field: a bag of ids (with values) per row.
struct Field {
  std::string name;
  Side side = Side::sample;
  std::string table;  // fields that name the same table share a vocabulary and its embedding rows; default: name
  friend bool operator==(const Field&, const Field&) = default;
};

/// What the columns of a log mean. Sample fields and common fields keep their order: field f of a side is bag f.
struct Schema {
  std::vector<Field> fields;       // sample fields first, then common fields
  std::vector<std::string> dense;  // decimal columns, all per impression
  // Column names, for CSV/TSV only.
  std::string click = "click";
  std::string conversion = "conversion";
  std::optional<std::string> sample_id;   // absent: the row number, counting data rows from 1
  std::optional<std::string> common_key;  // rows with equal keys share their common fields
  std::vector<std::string> ignore;
  friend bool operator==(const Schema&, const Schema&) = default;

  [[nodiscard]] std::vector<Field> side(Side wanted) const;
  [[nodiscard]] int count(Side wanted) const;
  /// Distinct table names in order of first use.
  [[nodiscard]] std::vector<std::string> tables() const;
  /// Index of the named field, or -1.
  [[nodiscard]] int find(std::string_view name) const;
};

/// The schema of raw Ali-CCP files: 10 sample fields, 13 common fields, each its own table (shared/ALI_CCP.md).
[[nodiscard]] Schema ali_ccp_schema();

/// TOML, as written by `schema_to_toml` and by users (`--schema FILE.toml`); docs/input_formats.md documents the keys.
/// Throws Error (usage) with file, line, key and remedy.
[[nodiscard]] Schema load_schema(const std::string& path);
[[nodiscard]] Schema schema_from_toml(const std::string& text, const std::string& name_for_errors);
[[nodiscard]] std::string schema_to_toml(const Schema& schema);

}  // namespace esmm
