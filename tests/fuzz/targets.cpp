#include "tests/fuzz/targets.hpp"

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/config.hpp"
#include "io/block_codec.hpp"
#include "io/file.hpp"
#include "io/manifest.hpp"
#include "io/readers.hpp"
#include "io/safetensors.hpp"
#include "io/sealed_json.hpp"
#include "io/vocabulary.hpp"
#include "kernels/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm::fuzz {
namespace {

/// One for the whole process: a new file for every input would be slow.
const test::TemporaryDirectory& directory() {
  static const test::TemporaryDirectory instance;
  return instance;
}

void read_all(LogReader& log) {
  log.read_common([](CommonRows&&) {});
  log.read_impressions([](ImpressionRows&&) {});
}

ReaderOptions options() {
  return {.half = Half::train, .schema = nullptr, .labels_required = true, .threads = 1};
}

/// Small, so that lines cross the chunks' borders.
constexpr std::size_t kChunkBytes = 64;

// ---- Text ----------------------------------------------------------------------------------------------------------

/// The two files with a line of dashes between them.
void read_ali_ccp(const std::string& input) {
  constexpr std::string_view kBorder = "\n---\n";
  const std::size_t border = std::min(input.find(kBorder), input.size());
  const std::size_t rest = std::min(border + kBorder.size(), input.size());
  static_cast<void>(directory().write("ali/sample_skeleton_train.csv", input.substr(0, border)));
  static_cast<void>(directory().write("ali/common_features_train.csv", input.substr(rest)));
  read_all(*open_ali_ccp_log(directory() / "ali", options(), kChunkBytes));
}

void read_csv(const std::string& input) {
  read_all(*open_csv_log(directory().write("log.csv", input), ',', options(), kChunkBytes));
}

void read_field_id(const std::string& input) {
  read_all(*open_field_id_log(directory().write("log.txt", input), options(), kChunkBytes));
}

void read_config(const std::string& input) {
  Config config;
  apply_toml(config, input, "config.toml");
}

void read_schema(const std::string& input) {
  static_cast<void>(schema_from_toml(input, "schema.toml"));
}

// ---- Packed datasets and vocabularies: behind their checksums, which would hide everything else
// ------------------------

const BlockLayout& layout() {
  static const BlockLayout instance{{10, 10}, {1000}, 1, 100};
  return instance;
}

Block example_block() {
  Block block;
  block.common_begin = {0, 2, 3};
  block.sample = {2, {0, 1, 3, 3, 4, 5, 5}, {1, 2, 9, 4, 7}, {1, 0.5F, 2, 1, 1}};
  block.common = {1, {0, 2, 3}, {5, 900, 7}, {}};
  block.dense = {1.5F, -2, 0};
  block.click = {1, 0, 1};
  block.conversion = {0, 0, 1};
  block.input_index = {3, 4, 1};
  for (const char* id : {"4", "5", "2"}) block.sample_id.push_back(id);
  return block;
}

std::string block_seed() {
  const Block block = example_block();
  const BlockShape shape = shape_of(block);
  const std::vector<std::byte> bytes = BlockEncoder().encode(block);
  std::string seed(sizeof shape, '\0');
  std::memcpy(seed.data(), &shape, sizeof shape);
  return seed.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void read_block(const std::string& input) {
  BlockShape shape;
  if (input.size() < sizeof shape) return;
  std::memcpy(&shape, input.data(), sizeof shape);
  const auto bytes = std::as_bytes(std::span(input)).subspan(sizeof shape);
  // What load_manifest has checked before.
  const std::uint64_t most = bytes.size() * ColumnDecoder::kMostPerByte;
  if (shape.impressions == 0 || shape.impressions > most || shape.common_rows == 0 ||
      shape.common_rows > shape.impressions || shape.sample_ids > most || shape.common_ids > most)
    return;
  Block block;
  const std::string file = "blocks.bin";
  decode_block(bytes, shape, layout(), {file, 0, 0}, true, block);
}

/// JSON with a good checksum around it.
bool seal(const std::string& input, const std::string& path) {
  const nlohmann::json content = nlohmann::json::parse(input, nullptr, /*allow_exceptions=*/false);
  if (content.is_discarded()) return false;
  write_sealed_json(path, content);
  return true;
}

constexpr std::uint64_t kBlocksBytes = 108;

std::string manifest_seed() {
  nlohmann::json seed = nlohmann::json::parse(
      R"({"format":"esmm packed dataset","version":1,"labelled":true,"schema":{"fields":[{"name":"f","side":"sample",
"table":"f"}],"dense":["d"],"click":"click","conversion":"buy","sample_id":null,"common_key":null,"ignore":[]},
"vocabulary":{"hash":"00","tables":[{"name":"f","rows":3}]},"blocks":[[8,100,"00",7,7,9,0]],"statistics":{"impressions":7,
"clicks":1,"conversions":0,"common_rows":7,"unused_common_rows":0,"contradictions":0,"contradictions_dropped":0,"text_bytes":1,
"packed_bytes":1,"bad_rows":{},"fields":[{"ids":9,"impression_ids":9,"missing_rows":0,"out_of_vocabulary":0,"most_ids":2,
"value_min":1,"value_max":1}],"dense":[{"mean":0,"std":1,"min":0,"max":1,"missing":0}]}})");
  for (std::size_t kind = 0; kind < static_cast<std::size_t>(BadRowKind::count_); ++kind)
    seed["statistics"]["bad_rows"][std::string(name(static_cast<BadRowKind>(kind)))] = 0;
  return seed.dump();
}

void read_manifest(const std::string& input) {
  if (seal(input, directory() / "manifest.json")) static_cast<void>(load_manifest(directory().path(), kBlocksBytes));
}

/// Its ids stay in the directory.
std::string vocabulary_seed() {
  Vocabulary({{"f", Encoding::vocab, 3, 4, {11, 12}}, {"g", Encoding::hash, 64, 0, {}}}, 1).save(directory().path());
  return nlohmann::json::parse(test::read_bytes(directory() / "vocabulary.json")).at("content").dump();
}

void read_vocabulary(const std::string& input) {
  if (seal(input, directory() / "vocabulary.json")) static_cast<void>(Vocabulary::load(directory().path()));
}

// ---- safetensors ---------------------------------------------------------------------------------------------------

/// As other software writes it: without checksums.
std::string safetensors_seed() {
  std::string header = R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
                       R"("b":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}})";
  const std::uint64_t length = header.size();
  std::string seed(sizeof length, '\0');
  std::memcpy(seed.data(), &length, sizeof length);
  return seed + header + std::string(19, '\1');
}

void read_safetensors(const std::string& input) {
  const SafetensorsFile file(directory().write("model.safetensors", input));
  file.verify();
  for (const std::string& name : file.names()) static_cast<void>(file.shape(name));
  std::vector<float> values(4);
  if (file.has("a")) file.read("a", values.data(), 2, 2, 2);
}

}  // namespace

std::vector<Target> targets() {
  return {
      {"ali_ccp",
       read_ali_ccp,
       {"1,0,0,u1,2,101\x02"
        "5\x03"
        "1\x01"
        "205\x02"
        "77\x03"
        "0.5\n2,1,1,u2,1,101\x02"
        "6\x03"
        "1\n---\nu1,1,121\x02"
        "9\x03"
        "1\nu2,1,121\x02"
        "8\x03"
        "2\n"}},
      {"csv",
       read_csv,
       {"click,conversion,item,price\n1,0,5,1.5\n0,0,6,\n1,1,7,-2e3\n",
        "sample_id,click,buy,\"user \"\"id\"\"\",x\r\na,1,1,12,0.5\r\n\"b,c\",0,0,13,1\r\n"}},
      {"field_id", read_field_id, {"1,1,0,user:5,item:7:0.5\n2,0,0,user:6\n3,1,1,item:18446744073709551615:1e-3\n"}},
      {"config", read_config, {"model = \"esmm\"\nlr = 0.001\nhidden = [64, 32]\nepochs = 3\ndevice = \"cpu\"\n"}},
      {"schema",
       read_schema,
       {"click = \"click\"\nconversion = \"buy\"\nsample = [\"a\"]\ncommon_key = \"user\"\ncommon = [\"b\"]\n"
        "dense = [\"d\"]\nignore = [\"e\"]\n[tables]\nb = \"a\"\n"}},
      {"block", read_block, {block_seed()}},
      {"manifest", read_manifest, {manifest_seed()}},
      {"vocabulary", read_vocabulary, {vocabulary_seed()}},
      {"safetensors", read_safetensors, {safetensors_seed()}},
  };
}

void run(const Target& target, const std::string& input) {
  try {
    target.read(input);
  } catch (const Error& error) {
    const bool expected = error.code() == ExitCode::data || error.code() == ExitCode::usage ||
                          error.code() == ExitCode::io;  // a vocabulary may name a file that is not there
    if (!expected) throw;
  }
}

}  // namespace esmm::fuzz
