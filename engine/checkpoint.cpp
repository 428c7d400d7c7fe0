#include "engine/checkpoint.hpp"

#include <bit>
#include <charconv>
#include <cstring>

#include "io/safetensors.hpp"
#include "kernels/error.hpp"

namespace esmm {

namespace {

using Metadata = std::map<std::string, std::string>;

// Doubles travel as the hexadecimal of their bits, so that nothing is rounded.
std::string exact(double value) {
  return fmt::format("{:016x}", std::bit_cast<std::uint64_t>(value));
}

const std::string& entry(const Metadata& metadata, const char* key, const std::string& path) {
  const auto found = metadata.find(key);
  if (found == metadata.end())
    throw data_error("{}: no \"{}\" in its metadata: not a checkpoint of this program.", path, key);
  return found->second;
}

template <class T>
T number(const Metadata& metadata, const char* key, const std::string& path, int base = 10) {
  const std::string& text = entry(metadata, key, path);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw data_error("{}: metadata \"{}\" is \"{}\", not a number: the checkpoint is damaged.", path, key, text);
  }
  return value;
}

double exact_number(const Metadata& metadata, const char* key, const std::string& path) {
  return std::bit_cast<double>(number<std::uint64_t>(metadata, key, path, 16));
}

Metadata describe(const TrainingState& s) {
  Metadata metadata{{"format", "esmm checkpoint 1"},
                    {"step", std::to_string(s.step)},
                    {"epoch", std::to_string(s.epoch)},
                    {"batch", std::to_string(s.batch)},
                    {"window_ctr", exact(s.window_losses.ctr)},
                    {"window_conversion", exact(s.window_losses.conversion)},
                    {"window_auxiliary", exact(s.window_losses.auxiliary)},
                    {"window_steps", std::to_string(s.window_steps)},
                    {"skipped_steps", std::to_string(s.skipped_steps)},
                    {"skipped_steps_in_a_row", std::to_string(s.skipped_steps_in_a_row)},
                    {"evaluations_without_improvement", std::to_string(s.evaluations_without_improvement)},
                    {"stopped_early", s.stopped_early ? "1" : "0"},
                    {"evaluated_step", std::to_string(s.evaluated_step)},
                    {"dataset", s.dataset},
                    {"train_seconds", exact(s.train_seconds)}};
  if (s.best_metric) metadata["best_metric"] = exact(*s.best_metric);
  return metadata;
}

TrainingState parse(const Metadata& metadata, const std::string& path) {
  TrainingState s;
  s.step = number<std::int64_t>(metadata, "step", path);
  s.epoch = number<std::int64_t>(metadata, "epoch", path);
  s.batch = number<std::int64_t>(metadata, "batch", path);
  s.window_losses.ctr = exact_number(metadata, "window_ctr", path);
  s.window_losses.conversion = exact_number(metadata, "window_conversion", path);
  s.window_losses.auxiliary = exact_number(metadata, "window_auxiliary", path);
  s.window_steps = number<std::int64_t>(metadata, "window_steps", path);
  if (metadata.contains("skipped_steps")) {  // older checkpoints have none
    s.skipped_steps = number<std::int64_t>(metadata, "skipped_steps", path);
    s.skipped_steps_in_a_row = number<std::int64_t>(metadata, "skipped_steps_in_a_row", path);
  }
  s.evaluations_without_improvement = number<std::int64_t>(metadata, "evaluations_without_improvement", path);
  s.stopped_early = number<int>(metadata, "stopped_early", path) != 0;
  s.evaluated_step = number<std::int64_t>(metadata, "evaluated_step", path);
  s.dataset = entry(metadata, "dataset", path);
  s.train_seconds = exact_number(metadata, "train_seconds", path);
  if (metadata.contains("best_metric")) s.best_metric = exact_number(metadata, "best_metric", path);
  return s;
}

std::vector<float> read_floats(const SafetensorsFile& file, const std::string& name) {
  const std::vector<std::byte> bytes = file.bytes(name);
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

}  // namespace

void save_checkpoint(const std::string& path, const TrainingState& state, const Parameters& parameters,
                     const ModelOptimizer& optimizer, const MetricsCollector& progressive) {
  std::vector<StridedTensor> tensors = parameters.tensors();
  for (StridedTensor& tensor : optimizer.tensors()) tensors.push_back(std::move(tensor));
  tensors.push_back(progressive.logits("progressive.logits"));
  const std::vector<std::uint8_t> labels = progressive.download_labels();
  const TensorView view{"U8", {progressive.size()}, std::as_bytes(std::span(labels))};
  save_safetensors(path, tensors, {{"progressive.labels", view}}, describe(state));
}

TrainingState load_state(const std::string& path) {
  return parse(SafetensorsFile(path).metadata(), path);
}

TrainingState load_checkpoint(const std::string& path, Parameters& parameters, ModelOptimizer& optimizer,
                              MetricsCollector& progressive) {
  const SafetensorsFile file(path);
  const TrainingState state = parse(file.metadata(), path);
  const std::size_t seen = file.bytes("progressive.labels").size();
  if (static_cast<std::int64_t>(seen) > progressive.capacity()) {
    throw data_error("{}: has seen {} impressions in one epoch, and the dataset holds {}. Restore the data.", path,
                     seen, progressive.capacity());
  }
  parameters.load(file);
  optimizer.load(file);
  progressive.restore(file, "progressive.logits", "progressive.labels");
  return state;
}

std::optional<std::string> newest_good_checkpoint(const std::vector<std::string>& paths,
                                                  const std::function<void(const std::string&)>& skipped) {
  for (auto path = paths.rbegin(); path != paths.rend(); ++path) {
    try {
      const SafetensorsFile file(*path);
      static_cast<void>(parse(file.metadata(), *path));
      file.verify();
      return *path;
    } catch (const Error& error) {
      if (error.code() != ExitCode::data) throw;  // a disk that cannot be read now says nothing about the file
      skipped(error.what());
    }
  }
  return std::nullopt;
}

void save_model(const std::string& path, const Parameters& parameters) {
  std::vector<StridedTensor> tensors = parameters.tensors();
  std::vector<float> mean, inverse;
  for (const DenseInput& column : parameters.spec().inputs.dense) {
    mean.push_back(column.mean);
    inverse.push_back(column.inverse_std);
  }
  const auto columns = static_cast<std::int64_t>(mean.size());
  if (columns > 0) {
    tensors.push_back({"dense.mean", mean.data(), 1, columns, columns, {columns}});
    tensors.push_back({"dense.inverse_std", inverse.data(), 1, columns, columns, {columns}});
  }
  save_safetensors(path, tensors, {},
                   {{"format", "esmm model 1"}, {"schema", schema_to_toml(parameters.spec().schema)}});
}

void load_model(const std::string& path, Parameters& parameters) {
  parameters.load(SafetensorsFile(path));
}

std::vector<DenseInput> load_normalisation(const std::string& path) {
  const SafetensorsFile file(path);
  std::vector<DenseInput> inputs;
  if (!file.has("dense.mean")) return inputs;
  const std::vector<float> mean = read_floats(file, "dense.mean");
  const std::vector<float> inverse = read_floats(file, "dense.inverse_std");
  if (mean.size() != inverse.size()) throw data_error("{}: dense.mean and dense.inverse_std differ in size.", path);
  for (std::size_t i = 0; i < mean.size(); ++i) inputs.push_back({mean[i], inverse[i]});
  return inputs;
}

}  // namespace esmm
