#include "engine/run_model.hpp"

#include <filesystem>

#include "engine/checkpoint.hpp"
#include "kernels/error.hpp"

namespace esmm {

RunModel load_run(Backend& backend, const std::string& path) {
  RunDirectory directory = RunDirectory::open(path);
  if (!std::filesystem::exists(directory.model_path())) {
    throw usage_error(
        "{}: has no model.safetensors: its training has not finished. Continue it: esmm_gpu train --resume {}", path,
        path);
  }
  Config config = directory.config();
  std::shared_ptr<const Vocabulary> vocabulary = directory.vocabulary();
  const ModelSpec spec =
      make_model_spec(config, directory.schema(), *vocabulary, load_normalisation(directory.model_path()));
  auto parameters = std::make_unique<Parameters>(backend.memory(), spec);
  load_model(directory.model_path(), *parameters);
  return {std::move(directory), std::move(config), std::move(vocabulary), std::move(parameters)};
}

DatasetRequest request_for_run(const RunModel& run, const std::string& path) {
  DatasetRequest request;
  request.path = path;
  request.half = has_test_half(path) ? Half::test : Half::train;
  request.cache_directory = run.directory.cache_directory();
  request.schema = std::make_shared<const Schema>(run.parameters->spec().schema);
  request.pack.vocabulary = run.vocabulary;
  return request;
}

}  // namespace esmm
