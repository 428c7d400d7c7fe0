#include "engine/onnx/export.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/config_options.hpp"
#include "engine/onnx/esmm_graph.hpp"
#include "engine/onnx/graph.hpp"
#include "io/file.hpp"
#include "kernels/error.hpp"

namespace esmm {

namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

ordered_json fields_json(const RunModel& run, Side side) {
  ordered_json fields = ordered_json::array();
  for (const Field& field : run.parameters->spec().schema.side(side)) {
    const int index = run.vocabulary->find_table(field.table);
    const Vocabulary::Table& table = run.vocabulary->tables()[static_cast<std::size_t>(index)];
    fields.push_back(
        {{"name", field.name}, {"table", field.table}, {"encoding", name_of(table.encoding)}, {"rows", table.rows}});
  }
  return fields;
}

onnx::ModelProto make_model(const RunModel& run, Defaults defaults) {
  onnx::ModelProto model;
  model.set_ir_version(OnnxGraph::kIrVersion);
  model.set_producer_name("esmm_gpu");
  model.set_producer_version(ESMM_VERSION);
  model.add_opset_import()->set_version(OnnxGraph::kOpset);
  const ordered_json description{{"version", 1},
                                 {"model", name_of(run.config.model)},
                                 {"sample_fields", fields_json(run, Side::sample)},
                                 {"common_fields", fields_json(run, Side::common)},
                                 {"dense", run.parameters->spec().schema.dense},
                                 {"vocabulary", run.vocabulary->hash()}};
  onnx::StringStringEntryProto& entry = *model.add_metadata_props();
  entry.set_key("esmm");
  entry.set_value(description.dump());
  model.mutable_graph()->set_name("esmm");
  write_esmm_graph(*run.parameters, defaults, *model.mutable_graph());
  return model;
}

std::span<const std::byte> row_bytes(MatrixView<const float> tables, std::int64_t row) {
  return std::as_bytes(std::span(tables.row(row), static_cast<std::size_t>(tables.cols)));
}

/// The tables behind the model's own bytes, or staged in a file beside it.
std::unique_ptr<StagedFile> add_tables(MatrixView<const float> tables, onnx::TensorProto& tensor,
                                       const std::string& data_file, std::int64_t external_bytes) {
  const std::int64_t bytes = tables.rows * tables.cols * std::int64_t{sizeof(float)};
  if (bytes <= external_bytes) {
    tensor.mutable_raw_data()->reserve(static_cast<std::size_t>(bytes));
    for (std::int64_t r = 0; r < tables.rows; ++r) {
      tensor.mutable_raw_data()->append(reinterpret_cast<const char*>(tables.row(r)), row_bytes(tables, r).size());
    }
    return nullptr;
  }
  auto out = std::make_unique<StagedFile>(data_file);
  std::vector<std::byte> block;
  constexpr std::size_t kBlockBytes = 4 << 20;
  for (std::int64_t r = 0; r < tables.rows; ++r) {
    const auto row = row_bytes(tables, r);
    block.insert(block.end(), row.begin(), row.end());
    if (block.size() < kBlockBytes && r + 1 < tables.rows) continue;
    out->append(block);
    block.clear();
  }
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  for (const auto& [key, value] : {std::pair<std::string, std::string>{"location", fs::path(data_file).filename()},
                                   {"offset", "0"},
                                   {"length", std::to_string(bytes)}}) {
    onnx::StringStringEntryProto& entry = *tensor.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  }
  return out;
}

bool holds(const std::string& directory, const Vocabulary& vocabulary) {
  try {
    return Vocabulary::load(directory)->hash() == vocabulary.hash();
  } catch (const Error&) {
    return false;  // none, or a damaged one
  }
}

/// Over an older export no kill may leave the model of one run with the ids or the tables of another: where they
/// change, the old model goes first and the new one comes last.
void write_model(const RunModel& run, const std::string& file, std::int64_t external_bytes, onnx::ModelProto& model) {
  StagedFile out(file);
  onnx::GraphProto& graph = *model.mutable_graph();
  const auto tensor = std::find_if(graph.mutable_initializer()->begin(), graph.mutable_initializer()->end(),
                                   [](const onnx::TensorProto& t) { return t.name() == kEmbeddingTensor; });
  const std::string data_file = file + ".data", vocab = fs::path(file).replace_extension(".vocab");
  const std::unique_ptr<StagedFile> tables = add_tables(run.parameters->tables(), *tensor, data_file, external_bytes);
  std::string bytes;
  if (!model.SerializeToString(&bytes)) throw internal_error("{}: the model cannot be serialised.", file);
  out.append(std::as_bytes(std::span(bytes)));

  std::optional<StagedDirectory> ids;
  if (!holds(vocab, *run.vocabulary)) {
    ids.emplace(vocab, StagedDirectory::Existing::replace);
    run.vocabulary->save(ids->path());
  }
  if ((tables || ids) && fs::is_regular_file(fs::symlink_status(file))) fs::remove(file);
  if (ids) ids->commit();
  if (tables) tables->commit();
  out.commit();
  if (!tables) fs::remove(data_file);
}

// ---- Triton ---------------------------------------------------------------------------------------------------------

/// One input or output in Triton's text format (model_config.proto).
std::string triton_tensor(const onnx::ValueInfoProto& info) {
  const onnx::TypeProto::Tensor& type = info.type().tensor_type();
  std::string dims;
  for (const auto& dim : type.shape().dim()) {
    dims += fmt::format("{}{}", dims.empty() ? "" : ", ", dim.has_dim_value() ? dim.dim_value() : -1);
  }
  const char* data_type = type.elem_type() == onnx::TensorProto::INT64 ? "TYPE_INT64" : "TYPE_FP32";
  return fmt::format("  {{ name: \"{}\" data_type: {} dims: [ {} ] }}", info.name(), data_type, dims);
}

template <class Infos>
std::string triton_tensors(const char* what, const Infos& infos) {
  std::string text;
  for (const onnx::ValueInfoProto& info : infos) text += (text.empty() ? "" : ",\n") + triton_tensor(info);
  return fmt::format("{} [\n{}\n]\n", what, text);
}

}  // namespace

void export_onnx(const RunModel& run, const std::string& file, std::int64_t external_bytes) {
  onnx::ModelProto model = make_model(run, Defaults::optional);
  write_model(run, file, external_bytes, model);
}

void export_triton(const RunModel& run, const std::string& directory, std::int64_t external_bytes) {
  StagedDirectory staged(directory);
  onnx::ModelProto model = make_model(run, Defaults::required);
  const std::string config =
      fmt::format("backend: \"onnxruntime\"\nmax_batch_size: 0\n{}{}", triton_tensors("input", model.graph().input()),
                  triton_tensors("output", model.graph().output()));
  make_directory(staged.path() + "/1");
  write_model(run, staged.path() + "/1/model.onnx", external_bytes, model);
  write_file(staged.path() + "/config.pbtxt", config);
  staged.commit();
}

}  // namespace esmm
