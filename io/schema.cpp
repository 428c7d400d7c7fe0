#include "io/schema.hpp"

#include <toml++/toml.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "io/messages.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

const std::vector<std::string> kKeys{"click",  "conversion", "sample_id", "common_key", "sample",
                                     "common", "dense",      "ignore",    "tables"};
constexpr const char* kKeyList =
    "The keys of a schema are click, conversion, sample_id, common_key, sample, common, dense, ignore and the table "
    "[tables].";

std::vector<std::string> names_of(const std::vector<Field>& fields) {
  std::vector<std::string> names;
  for (const Field& field : fields) names.push_back(field.name);
  return names;
}

/// One schema file being read: every complaint names the file, the line and the key.
class SchemaFile {
 public:
  SchemaFile(const std::string& text, std::string file) : file_(std::move(file)) {
    try {
      root_ = toml::parse(text, file_);
    } catch (const toml::parse_error& error) {
      throw usage_error("{}:{}: not valid TOML: {}", file_, error.source().begin.line, error.description());
    }
    for (const auto& [key, node] : root_) {
      if (std::find(kKeys.begin(), kKeys.end(), key.str()) == kKeys.end()) {
        throw complaint(node, "unknown key \"{}\". {}", key.str(), did_you_mean(key.str(), kKeys, kKeyList));
      }
    }
  }

  template <class... Args>
  [[nodiscard]] Error complaint(const toml::node& at, fmt::format_string<Args...> format, Args&&... args) const {
    return usage_error("{}:{}: {}", file_, at.source().begin.line, fmt::format(format, std::forward<Args>(args)...));
  }

  [[nodiscard]] std::optional<std::string> text(const char* key) const {
    const toml::node* const node = root_.get(key);
    if (node == nullptr) return std::nullopt;
    return column(*node, key);
  }

  /// A list of column names; no column may have two of the roles sample, common, dense, ignore.
  [[nodiscard]] std::vector<std::string> list(const char* key) {
    std::vector<std::string> columns;
    const toml::node* const node = root_.get(key);
    if (node == nullptr) return columns;
    if (!node->is_array())
      throw complaint(*node, "{} must be a list of column names, as in {} = [\"a\", \"b\"].", key, key);
    for (const toml::node& element : *node->as_array()) {
      columns.push_back(column(element, key));
      if (!used_.insert(columns.back()).second) {
        throw complaint(element, "column \"{}\" is named twice. Keep it in one list only.", columns.back());
      }
    }
    return columns;
  }

  void apply_tables(Schema& schema) const {
    const toml::node* const node = root_.get("tables");
    if (node == nullptr) return;
    if (!node->is_table()) throw complaint(*node, "tables must be a table of field = \"table name\".");
    for (const auto& [field, table] : *node->as_table()) {
      const int index = schema.find(field.str());
      if (index < 0) {
        throw complaint(table, "[tables] names \"{}\", which is neither in sample nor in common. {}", field.str(),
                        did_you_mean(field.str(), names_of(schema.fields), "Add it there."));
      }
      schema.fields[static_cast<std::size_t>(index)].table = column(table, field.str());
    }
  }

  [[nodiscard]] const std::string& file() const { return file_; }

 private:
  [[nodiscard]] std::string column(const toml::node& node, std::string_view key) const {
    const auto value = node.value_exact<std::string>();
    if (!value || value->empty()) throw complaint(node, "{} must be a name in quotes, as in \"user_id\".", key);
    return *value;
  }

  std::string file_;
  toml::table root_;
  std::set<std::string> used_;
};

toml::array to_array(const std::vector<std::string>& names) {
  toml::array array;
  for (const std::string& name : names) array.push_back(name);
  return array;
}

}  // namespace

std::vector<Field> Schema::side(Side wanted) const {
  std::vector<Field> result;
  std::copy_if(fields.begin(), fields.end(), std::back_inserter(result),
               [wanted](const Field& field) { return field.side == wanted; });
  return result;
}

int Schema::count(Side wanted) const {
  return static_cast<int>(
      std::count_if(fields.begin(), fields.end(), [wanted](const Field& field) { return field.side == wanted; }));
}

std::vector<std::string> Schema::tables() const {
  std::vector<std::string> names;
  for (const Field& field : fields) {
    if (std::find(names.begin(), names.end(), field.table) == names.end()) names.push_back(field.table);
  }
  return names;
}

int Schema::find(std::string_view name) const {
  const auto found = std::find_if(fields.begin(), fields.end(), [&](const Field& field) { return field.name == name; });
  return found == fields.end() ? -1 : static_cast<int>(found - fields.begin());
}

Schema ali_ccp_schema() {
  Schema schema;
  for (const char* name : {"205", "206", "207", "210", "216", "508", "509", "702", "853", "301"}) {
    schema.fields.push_back({name, Side::sample, name});
  }
  for (const char* name :
       {"101", "109_14", "110_14", "127_14", "150_14", "121", "122", "124", "125", "126", "127", "128", "129"}) {
    schema.fields.push_back({name, Side::common, name});
  }
  return schema;
}

Schema load_schema(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    throw io_error("{}: cannot read the schema: {}", path, std::strerror(errno));
  }
  return schema_from_toml(text.str(), path);
}

Schema schema_from_toml(const std::string& text, const std::string& name_for_errors) {
  SchemaFile file(text, name_for_errors);
  Schema schema;
  schema.click = file.text("click").value_or(schema.click);
  schema.conversion = file.text("conversion").value_or(schema.conversion);
  schema.sample_id = file.text("sample_id");
  schema.common_key = file.text("common_key");
  for (std::string& name : file.list("sample")) schema.fields.push_back({name, Side::sample, name});
  for (std::string& name : file.list("common")) schema.fields.push_back({name, Side::common, name});
  schema.dense = file.list("dense");
  schema.ignore = file.list("ignore");
  file.apply_tables(schema);
  if (schema.fields.empty() && schema.dense.empty()) {
    throw usage_error("{}: the schema names no features. List columns under sample, common or dense.", file.file());
  }
  return schema;
}

std::string schema_to_toml(const Schema& schema) {
  toml::table root{{"click", schema.click}, {"conversion", schema.conversion}};
  if (schema.sample_id) root.insert("sample_id", *schema.sample_id);
  if (schema.common_key) root.insert("common_key", *schema.common_key);
  root.insert("sample", to_array(names_of(schema.side(Side::sample))));
  root.insert("common", to_array(names_of(schema.side(Side::common))));
  root.insert("dense", to_array(schema.dense));
  root.insert("ignore", to_array(schema.ignore));
  toml::table tables;
  for (const Field& field : schema.fields) {
    if (field.table != field.name) tables.insert(field.name, field.table);
  }
  if (!tables.empty()) root.insert("tables", std::move(tables));
  std::ostringstream text;
  text << root << '\n';
  return text.str();
}

}  // namespace esmm
