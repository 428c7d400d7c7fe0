#include "bench/export_batches.hpp"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/checkpoint.hpp"
#include "engine/config_options.hpp"
#include "kernels/error.hpp"

namespace esmm::bench {

namespace {

/// NumPy's format, version 1.0: magic, header length, a Python dictionary padded to 64 bytes, the values.
template <class T>
void save_npy(const std::string& path, const char* type, std::span<const T> values) {
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({},), }}", type, values.size());
  constexpr std::size_t kPrefix = 10, kAlignment = 64;
  header.resize((kPrefix + header.size() + kAlignment) / kAlignment * kAlignment - kPrefix, ' ');
  header.back() = '\n';
  std::ofstream file(path, std::ios::binary);
  const char size[2] = {static_cast<char>(header.size() & 0xFFU), static_cast<char>(header.size() >> 8U)};
  file.write("\x93NUMPY\x01\x00", 8).write(size, 2) << header;
  file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
  if (!file.flush()) throw io_error("{}: cannot be written.", path);
}

void save_bags(const std::string& prefix, const Bags& bags) {
  save_npy(prefix + "_offsets.npy", "<u4", bags.offsets);
  save_npy(prefix + "_rows.npy", "<u4", bags.rows);
  const std::vector<float> ones(bags.weights.empty() ? bags.rows.size() : 0, 1.0F);
  save_npy(prefix + "_weights.npy", "<f4", ones.empty() ? bags.weights : std::span<const float>(ones));
}

void save_batch(const std::string& directory, const BatchView& batch) {
  std::filesystem::create_directory(directory);
  save_bags(directory + "/sample", batch.sample);
  save_bags(directory + "/common", batch.common);
  save_npy(directory + "/common_begin.npy", "<u4", batch.common_begin);
  save_npy(directory + "/click.npy", "|u1", batch.click);
  save_npy(directory + "/conversion.npy", "|u1", batch.conversion);
}

nlohmann::ordered_json describe(const HeldBatches& batches, const ModelSpec& spec, const Config& config) {
  std::vector<std::string> tables;
  for (const TableSpec& table : spec.tables) tables.push_back("embedding." + table.name);
  const BatchView& first = batches.views().front();
  return {{"batches", batches.views().size()},
          {"impressions", batches.impressions()},
          {"tables", tables},
          {"dim", spec.dim},
          {"sample_fields", first.sample.fields},
          {"common_fields", first.common.fields},
          {"hidden", spec.towers.hidden},
          {"activation", spec.towers.activation == Activation::relu ? "relu" : "prelu"},
          {"optimizer", name_of(config.optimizer)},
          {"lr", config.lr},
          {"beta1", config.beta1},
          {"beta2", config.beta2},
          {"epsilon", config.epsilon},
          {"initial_accumulator", config.initial_accumulator}};
}

}  // namespace

void export_batches(const std::string& path, const HeldBatches& batches, const Parameters& parameters,
                    const Config& config) {
  if (batches.views().empty() || batches.views().front().dense.cols != 0) {
    throw usage_error("--export: needs batches without dense columns.");
  }
  if (std::filesystem::exists(path)) throw usage_error("--export {}: exists. Name a new directory.", path);
  std::filesystem::create_directories(path);
  for (std::size_t b = 0; b < batches.host().size(); ++b) {
    save_batch(fmt::format("{}/{:04}", path, b), batches.host()[b].view());
  }
  save_model(path + "/model.safetensors", parameters);
  std::ofstream file(path + "/model.json");
  file << describe(batches, parameters.spec(), config).dump(2) << '\n';
  if (!file.flush()) throw io_error("{}/model.json: cannot be written.", path);
}

}  // namespace esmm::bench
