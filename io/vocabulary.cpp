#include "io/vocabulary.hpp"

#include <xxhash.h>

#include <filesystem>
#include <set>

#include "io/file.hpp"
#include "io/hash_index.hpp"
#include "io/sealed_json.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

constexpr int kVocabularyVersion = 1;

/// The table's name with everything but letters, digits, '_' and '-' percent-encoded: safe as a file's name.
std::string ids_file(const std::string& directory, std::string_view table) {
  std::string name = directory + "/";
  for (const char c : table) {
    const bool plain =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
    if (plain)
      name += c;
    else
      name += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return name + ".ids";
}

std::string content_hash(const std::vector<Vocabulary::Table>& tables) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), &XXH3_freeState);
  XXH3_64bits_reset(state.get());
  const auto number = [&](std::uint64_t value) { XXH3_64bits_update(state.get(), &value, sizeof value); };
  number(tables.size());
  for (const Vocabulary::Table& table : tables) {
    number(table.name.size());
    XXH3_64bits_update(state.get(), table.name.data(), table.name.size());
    number(static_cast<std::uint64_t>(table.encoding));
    number(table.rows);
    XXH3_64bits_update(state.get(), table.ids.data(), table.ids.size() * sizeof(std::uint64_t));
  }
  return hex64(XXH3_64bits_digest(state.get()));
}

void load_ids(const std::string& path, const std::string& checksum, Vocabulary::Table& table) {
  const std::uint64_t expected = (table.rows - std::uint64_t{1}) * sizeof(std::uint64_t);
  require_part(path, "Make the vocabulary again.");
  const File file = File::open(path);
  if (file.size() != expected)
    throw data_error("{}: {} bytes long, but its {} ids take {}. Make the vocabulary again.", path, file.size(),
                     table.rows - 1, expected);
  table.ids.resize(table.rows - 1);
  file.read_at(0, std::as_writable_bytes(std::span(table.ids)));
  if (hex64(XXH3_64bits(table.ids.data(), expected)) != checksum)
    throw data_error("{}: does not match its checksum: the file is corrupt. Make the vocabulary again.", path);
}

Vocabulary::Table load_table(const std::string& directory, const nlohmann::json& json) {
  Vocabulary::Table table;
  table.name = json.at("name").get<std::string>();
  table.rows = json.at("rows").get<std::uint32_t>();
  table.distinct_seen = json.at("distinct_seen").get<std::uint64_t>();
  const auto encoding = json.at("encoding").get<std::string>();
  if (table.rows == 0 || (encoding != "vocab" && encoding != "hash"))
    throw data_error("{}: table {} has {} rows and encoding \"{}\". Make the vocabulary again.", directory, table.name,
                     table.rows, encoding);
  table.encoding = encoding == "vocab" ? Encoding::vocab : Encoding::hash;
  if (table.encoding == Encoding::vocab)
    load_ids(ids_file(directory, table.name), json.at("xxh3").get<std::string>(), table);
  return table;
}

}  // namespace

struct Vocabulary::Impl {
  std::vector<Table> tables;
  std::vector<HashIndex<std::uint64_t>> rows;  // per table: id → row
  std::uint32_t min_count = 0;
  std::string hash;
};

Vocabulary::Vocabulary(std::vector<Table> tables, std::uint32_t min_count) : impl_(std::make_unique<Impl>()) {
  impl_->tables = std::move(tables);
  impl_->min_count = min_count;
  impl_->rows.resize(impl_->tables.size());
  std::set<std::string_view> names;
  for (std::size_t t = 0; t < impl_->tables.size(); ++t) {
    const Table& table = impl_->tables[t];
    if (!names.insert(table.name).second) throw data_error("vocabulary: table {} is there twice.", table.name);
    if (table.rows == 0) throw data_error("vocabulary: table {} has no rows.", table.name);
    if (table.encoding == Encoding::hash) continue;
    if (table.ids.size() != table.rows - 1)
      throw data_error("vocabulary: table {} has {} rows but {} ids.", table.name, table.rows, table.ids.size());
    impl_->rows[t].reset(table.ids.size());
    std::uint32_t row = 0;
    for (const std::uint64_t id : table.ids) {
      std::uint32_t& number = impl_->rows[t](id, mix);
      if (number != 0) throw data_error("vocabulary: table {} has id {} twice.", table.name, id);
      number = ++row;
    }
  }
  impl_->hash = content_hash(impl_->tables);
}

Vocabulary::~Vocabulary() = default;

const std::vector<Vocabulary::Table>& Vocabulary::tables() const {
  return impl_->tables;
}
std::uint32_t Vocabulary::min_count() const {
  return impl_->min_count;
}
const std::string& Vocabulary::hash() const {
  return impl_->hash;
}

int Vocabulary::find_table(std::string_view name) const {
  for (std::size_t t = 0; t < impl_->tables.size(); ++t)
    if (impl_->tables[t].name == name) return static_cast<int>(t);
  return -1;
}

std::uint32_t Vocabulary::encode(int table, std::uint64_t id) const {
  const Table& t = impl_->tables[static_cast<std::size_t>(table)];
  if (t.encoding == Encoding::hash) return static_cast<std::uint32_t>(XXH3_64bits(&id, sizeof id) % t.rows);
  return impl_->rows[static_cast<std::size_t>(table)].find(id, mix(id));
}

void Vocabulary::prefetch(int table, std::uint64_t id) const {
  impl_->rows[static_cast<std::size_t>(table)].prefetch(mix(id));
}

void Vocabulary::save(const std::string& directory) const {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw io_error("{}: cannot create: {}.", directory, error.message());
  nlohmann::json tables = nlohmann::json::array();
  for (const Table& table : impl_->tables) {
    nlohmann::json json = {{"name", table.name},
                           {"encoding", table.encoding == Encoding::vocab ? "vocab" : "hash"},
                           {"rows", table.rows},
                           {"distinct_seen", table.distinct_seen}};
    if (table.encoding == Encoding::vocab) {
      const auto bytes = std::as_bytes(std::span(table.ids));
      write_file(ids_file(directory, table.name), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
      json["xxh3"] = hex64(XXH3_64bits(bytes.data(), bytes.size()));
    }
    tables.push_back(std::move(json));
  }
  write_sealed_json(directory + "/vocabulary.json", {{"format", "esmm vocabulary"},
                                                     {"version", kVocabularyVersion},
                                                     {"min_count", impl_->min_count},
                                                     {"hash", impl_->hash},
                                                     {"tables", std::move(tables)}});
}

std::shared_ptr<const Vocabulary> Vocabulary::load(const std::string& directory) {
  const std::string path = directory + "/vocabulary.json";
  return read_sealed_json(path, [&](const nlohmann::json& json) {
    if (json.at("format") != "esmm vocabulary" || json.at("version") != kVocabularyVersion)
      throw data_error("{}: not a vocabulary of version {}. Make it again with this program.", path,
                       kVocabularyVersion);
    std::vector<Table> tables;
    for (const nlohmann::json& table : json.at("tables")) tables.push_back(load_table(directory, table));
    auto vocabulary = std::make_shared<const Vocabulary>(std::move(tables), json.at("min_count").get<std::uint32_t>());
    if (vocabulary->hash() != json.at("hash").get<std::string>())
      throw data_error("{}: the ids do not match the vocabulary's hash. Make the vocabulary again.", path);
    return vocabulary;
  });
}

}  // namespace esmm
