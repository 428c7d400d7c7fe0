// One training step, whole and by stage, on held batches of a packed dataset or of random ids: docs/benchmarking.md.
#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "bench/export_batches.hpp"
#include "bench/held_batches.hpp"
#include "bench/probes.hpp"
#include "bench/step_source.hpp"
#include "bench/work.hpp"
#include "engine/batch_feed.hpp"
#include "engine/config_options.hpp"
#include "engine/device.hpp"
#include "engine/methods.hpp"
#include "engine/trainer.hpp"
#include "kernels/copy.hpp"
#include "kernels/error.hpp"

namespace esmm::bench {
namespace {

using Json = nlohmann::ordered_json;
constexpr double kProbeSeconds = 0.2;
constexpr std::int64_t kProbedColumns = 18;  // of --preset paper
constexpr const char* kUsage =
    "usage: esmm_bench_step --data PACKED [--batches N] [--passes N] [--export DIR] [FLAGS OF esmm_gpu train]\n"
    "       esmm_bench_step --random KEY=VALUE,... [--batches N] [--passes N] [FLAGS OF esmm_gpu train]\n"
    "       esmm_bench_step --probe|--peak [--threads N]\n";

struct Arguments {
  Config config;
  std::int64_t batches = 20, passes = 3;
  std::string export_to;
  std::optional<RandomShape> random;
  bool probe_only = false, peak_only = false;
};

std::int64_t positive(const std::string& flag, const std::string& text) {
  char* end = nullptr;
  const long long value = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || value <= 0) throw usage_error("{} {}: expected a positive number.", flag, text);
  return value;
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  std::vector<FlagValue> flags;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--probe" || flag == "--peak") {
      (flag == "--probe" ? arguments.probe_only : arguments.peak_only) = true;
      continue;
    }
    if (!flag.starts_with("--") || i + 1 == argc) throw usage_error("{}: needs a value.\n{}", flag, kUsage);
    const std::string value = argv[++i];
    if (flag == "--batches") {
      arguments.batches = positive(flag, value);
    } else if (flag == "--passes") {
      arguments.passes = positive(flag, value);
    } else if (flag == "--export") {
      arguments.export_to = value;
    } else if (flag == "--random") {
      arguments.random = parse_random_shape(value);
    } else {
      flags.push_back({flag.substr(2), value});
    }
  }
  arguments.config = resolve_config("", flags);
  const bool measures = !arguments.probe_only && !arguments.peak_only;
  if (measures && arguments.config.data.empty() != arguments.random.has_value()) {
    throw usage_error("--data or --random: one of them is needed.\n{}", kUsage);
  }
  return arguments;
}

double seconds_since(std::chrono::steady_clock::time_point started) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
}

double seconds_of(Backend& backend, const std::function<void()>& work) {
  backend.synchronise();
  const auto started = std::chrono::steady_clock::now();
  work();
  backend.synchronise();
  return seconds_since(started);
}

/// The losses of the first pass, step by step: what another system's steps are compared with. Also a warm-up.
Json first_losses(Trainer& trainer, const HeldBatches& batches) {
  Json losses = Json::array();
  for (const BatchView& batch : batches.views()) {
    trainer.step(batch);
    const TaskLosses loss = trainer.take_losses().front();
    losses.push_back(Json{loss.ctr, loss.conversion});
  }
  return losses;
}

/// A step whose losses nobody wants.
void step_only(Trainer& trainer, const BatchView& batch) {
  trainer.step(batch);
  if (trainer.pending_losses() == Trainer::kMostPendingLosses) std::ignore = trainer.take_losses();
}

void step_all(Trainer& trainer, const HeldBatches& batches) {
  for (const BatchView& batch : batches.views()) step_only(trainer, batch);
}

/// The same batches through the loader: decoding, assembling and, to a device, copying.
std::vector<double> loaded_passes(Backend& backend, Trainer& trainer, const StepSource& source,
                                  const Arguments& arguments, std::int64_t count) {
  if (source.dataset == nullptr) return {};
  Loader loader(source.dataset, source.spec.inputs,
                BatchFeed::loader_options(backend, loader_options(arguments.config)));
  BatchFeed feed(backend, loader);
  std::vector<double> passes;
  for (std::int64_t p = 0; p <= arguments.passes; ++p) {
    passes.push_back(seconds_of(backend, [&] {
      feed.start(0);
      for (std::int64_t b = 0; b < count; ++b) step_only(trainer, *feed.next());
    }));
  }
  passes.erase(passes.begin());  // the first pass allocates
  return passes;
}

/// The stages of Trainer::step by calls of their own, in its order, each waited for.
Json stages(Backend& backend, Trainer& trainer, Model& model, const Config& config, const HeldBatches& batches) {
  const ModelSpec& spec = model.spec();
  Memory& memory = backend.memory();
  ModelOptimizer& optimizer = trainer.optimizer();
  Activations activations(memory, spec);
  Gradients gradients(memory, spec);
  Buffer<StepLosses> loss(memory, 1);
  TowerParameters& towers = model.parameters().towers();
  const Objective task = objective(config);
  const Dropout dropout{config.dropout > 0, config.seed, 1};
  double sort = 0, pool = 0, forward = 0, two_task = 0, backward = 0, update = 0;
  std::int64_t step = trainer.steps();
  const auto pass = [&] {
    sort = pool = forward = two_task = backward = update = 0;
    for (const BatchView& batch : batches.views()) {
      activations.prepare(spec, batch.rows(), batch.common_rows());
      gradients.prepare(spec, batch.rows(), batch.common_rows());
      const TowerInputs inputs{activations.pooled_common(), activations.pooled_sample(), batch.common_begin};
      const std::int64_t pooled = spec.pooled_sample_columns();
      sort += seconds_of(backend, [&] { optimizer.sort(backend, batch); });
      pool += seconds_of(backend, [&] {
        const MatrixView<float> sample = activations.pooled_sample();
        pool_embeddings(backend, batch.common, model.parameters().tables(), activations.pooled_common());
        pool_embeddings(backend, batch.sample, model.parameters().tables(), sample.columns(0, pooled));
        copy_matrix(backend, batch.dense, sample.columns(pooled, sample.cols - pooled));
      });
      forward += seconds_of(backend, [&] {
        towers_forward(backend, spec.towers, towers.const_views(), inputs, dropout, activations.towers(),
                       activations.logits());
      });
      two_task += seconds_of(backend, [&] {
        two_task_loss(backend, task, activations.logits(), batch.click, batch.conversion, batch.impressions,
                      loss.data(), gradients.logits());
      });
      backward += seconds_of(backend, [&] { model.backward(backend, batch, dropout, activations, gradients); });
      update += seconds_of(
          backend, [&] { optimizer.apply(backend, batch, ++step, gradients, loss.data(), model.parameters()); });
    }
  };
  pass();  // warms up
  pass();
  return {{"sort_ids", sort},          {"pool_embeddings", pool},     {"towers_forward", forward},
          {"two_task_loss", two_task}, {"towers_backward", backward}, {"update", update}};
}

Json probes(int threads, std::int64_t columns) {
  return {{"fma_gflops", fma_peak(threads, kProbeSeconds)},
          {"bf16_gflops", bf16_peak(threads, kProbeSeconds)},
          {"read_gbps", read_bandwidth(threads, kProbeSeconds)},
          {"random_row_gbps", random_row_bandwidth(threads, kProbeSeconds, columns)}};
}

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;  // from KiB
}

Json measure(const Arguments& arguments) {
  const Config& config = arguments.config;
  const std::unique_ptr<Backend> backend = make_backend(config.device, config.threads, config.precision, config.towers);
  StepSource source = arguments.random ? random_source(config, *arguments.random, arguments.batches)
                                       : packed_source(config, arguments.batches);
  const ModelSpec& spec = source.spec;
  const std::int64_t bytes = training_bytes(spec, config, config.batch_size, backend->memory());
  if (backend->memory_is_host()) check_memory(bytes, "the step");
  check_device_memory(config.device, bytes, "the step");
  const HeldBatches batches(*backend, std::move(source.batches));
  const BatchView& first = batches.views().front();
  const TowerChoice towers = backend->choose_towers(spec.towers, first.rows(), first.common_rows(), config.dropout > 0);
  if (!towers.warning.empty()) std::fprintf(stderr, "esmm_bench_step: %s\n", towers.warning.c_str());
  ThreadPool pool(config.threads);
  const auto count = static_cast<std::int64_t>(batches.views().size());
  const auto making = std::chrono::steady_clock::now();
  Parameters parameters(backend->memory(), spec);
  parameters.initialise(config, pool);
  Trainer trainer(*backend, config, parameters, count);
  backend->synchronise();
  const double making_seconds = seconds_since(making);
  if (!arguments.export_to.empty()) export_batches(arguments.export_to, batches, parameters, config);
  const double fma_before = fma_peak(config.threads, kProbeSeconds);
  const Json losses = first_losses(trainer, batches);
  step_all(trainer, batches);  // a device has recorded the steps after this
  std::vector<double> held;
  for (std::int64_t p = 0; p < arguments.passes; ++p) {
    held.push_back(seconds_of(*backend, [&] { step_all(trainer, batches); }));
  }
  const std::vector<double> loaded = loaded_passes(*backend, trainer, source, arguments, count);
  Model model(parameters);
  const Json by_stage = stages(*backend, trainer, model, config, batches);
  const double peak_mb = peak_megabytes();  // the probes come later
  const auto impressions = static_cast<double>(batches.impressions());
  return {
      {"device", backend->name()},
      {"precision", name_of(config.precision)},
      {"optimizer", name_of(config.optimizer)},
      {"threads", config.threads},
      {"towers", towers.description},
      {"batches", count},
      {"impressions", batches.impressions()},
      {"common_rows", batches.common_rows()},
      {"ids_read", batches.ids()},
      {"ids_per_impression", batches.ids_of_impressions() / impressions},
      {"parameters", parameters.count()},
      {"tower_gflop", 3.0 * forward_flop(spec.towers, impressions, static_cast<double>(batches.common_rows())) / 1e9},
      {"making_seconds", making_seconds},
      {"seconds", held},
      {"seconds_with_loading", loaded},
      {"stage_seconds", by_stage},
      {"peak_mb", peak_mb},
      {"fma_gflops_before", fma_before},
      {"probes_after", probes(config.threads, spec.dim)},
      {"losses", losses}};
}

}  // namespace
}  // namespace esmm::bench

int main(int argc, char** argv) {
  using namespace esmm::bench;
  try {
    const Arguments arguments = parse(argc, argv);
    const int threads = arguments.config.threads;
    const Json result = arguments.peak_only    ? Json{{"fma_gflops", fma_peak(threads, kProbeSeconds)}}
                        : arguments.probe_only ? probes(threads, kProbedColumns)
                                               : measure(arguments);
    std::printf("%s\n", result.dump(2).c_str());
    return 0;
  } catch (const esmm::Error& error) {
    std::fprintf(stderr, "esmm_bench_step: %s\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "esmm_bench_step: %s\n", error.what());
    return 1;
  }
}
