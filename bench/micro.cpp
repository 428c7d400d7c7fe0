// Every operation of Backend at Ali-CCP's shapes and at awkward ones, against the machine's ceilings:
// docs/benchmarking.md.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <functional>
#include <map>
#include <memory>

#include "bench/micro_data.hpp"
#include "bench/probes.hpp"
#include "bench/work.hpp"
#include "engine/config_options.hpp"
#include "engine/device.hpp"
#include "kernels/copy.hpp"
#include "kernels/error.hpp"
#include "kernels/gather.hpp"
#include "kernels/loss.hpp"
#include "kernels/metrics.hpp"
#include "kernels/separate_towers.hpp"

namespace esmm::bench {
namespace {

constexpr double kProbeSeconds = 0.2;

enum class Limit { multiply, stream, random_rows };

/// How much an operation has to do at least, in GFLOP or GB, and what limits how fast.
struct Work {
  Limit limit;
  double amount;
};
Work multiplies(double flop) {
  return {Limit::multiply, flop / 1e9};
}
Work streams(std::int64_t bytes) {
  return {Limit::stream, static_cast<double>(bytes) / 1e9};
}
Work reads_rows(std::int64_t floats) {
  return {Limit::random_rows, static_cast<double>(floats * 4) / 1e9};
}

class Micro {
 public:
  Micro(Backend& backend, int threads, Precision precision)
      : backend_(backend),
        ceilings_{{Limit::multiply,
                   precision == Precision::bf16 ? bf16_peak(threads, kProbeSeconds) : fma_peak(threads, kProbeSeconds)},
                  {Limit::stream, read_bandwidth(threads, kProbeSeconds)},
                  {Limit::random_rows, random_row_bandwidth(threads, kProbeSeconds, 18)}} {
    benchmark::AddCustomContext("peak GFLOP/s", std::to_string(ceilings_[Limit::multiply]));
    benchmark::AddCustomContext("sequential GB/s", std::to_string(ceilings_[Limit::stream]));
    benchmark::AddCustomContext("random rows GB/s", std::to_string(ceilings_[Limit::random_rows]));
  }

  void add_shape(const MicroShape& shape) {
    add_embeddings(shape);
    add_updates(shape);
    add_towers(shape);
    add_rest(shape);
  }

 private:
  using Operation = std::function<void()>;

  /// `make` builds the operands when the benchmark runs, and not before: one shape's at a time is in memory.
  void add(const MicroShape& shape, const std::string& operation, OptimizerKind optimizer,
           const std::function<std::pair<Work, Operation>(const std::shared_ptr<MicroData>&)>& make) {
    const auto body = [this, shape, optimizer, make](benchmark::State& state) {
      const auto [work, operate] = make(data(shape, optimizer));
      operate();  // allocates, and compiles kernels
      backend_.synchronise();
      for ([[maybe_unused]] auto _ : state) {
        operate();
        backend_.synchronise();
      }
      using benchmark::Counter;
      const char* unit = work.limit == Limit::multiply ? "GFLOP/s" : "GB/s";
      state.counters[unit] = Counter(work.amount, Counter::kIsIterationInvariantRate);
      state.counters["of_ceiling"] = Counter(work.amount / ceilings_[work.limit], Counter::kIsIterationInvariantRate);
    };
    benchmark::RegisterBenchmark((operation + "/" + shape.name).c_str(), body)
        ->UseRealTime()
        ->MeasureProcessCPUTime()
        ->Unit(benchmark::kMicrosecond);
  }
  void add(const MicroShape& shape, const std::string& operation,
           const std::function<std::pair<Work, Operation>(const std::shared_ptr<MicroData>&)>& make) {
    add(shape, operation, OptimizerKind::adam, make);
  }

  /// The operands; kept until others are wanted.
  std::shared_ptr<MicroData> data(const MicroShape& shape, OptimizerKind optimizer) {
    if (!data_ || data_->shape().name != shape.name || data_optimizer_ != optimizer) {
      data_.reset();
      data_ = std::make_shared<MicroData>(backend_, shape, optimizer);
      data_optimizer_ = optimizer;
    }
    return data_;
  }

  void add_embeddings(const MicroShape& shape) {
    using Data = const std::shared_ptr<MicroData>&;
    add(shape, "pool_embeddings_sample", [this](Data d) {
      return std::pair{reads_rows(d->sample().ids() * d->dim()), Operation([this, d] {
                         pool_embeddings(backend_, d->sample(), d->arena().weights, d->pooled_sample());
                       })};
    });
    if (shape.common_rows > 0) {
      add(shape, "pool_embeddings_common", [this](Data d) {
        return std::pair{reads_rows(d->common().ids() * d->dim()), Operation([this, d] {
                           pool_embeddings(backend_, d->common(), d->arena().weights, d->pooled_common());
                         })};
      });
    }
    add(shape, "gather_ids", [this](Data d) {
      auto rows = std::make_shared<Buffer<std::uint32_t>>(backend_.memory(), d->sample().ids());
      auto places = std::make_shared<Buffer<std::uint32_t>>(backend_.memory(), d->shape().impressions);
      std::vector<std::uint32_t> host(static_cast<std::size_t>(d->shape().impressions));
      const double each = d->shape().sample_ids * static_cast<double>(d->shape().sample_fields);
      for (std::size_t r = 0; r < host.size(); ++r) {
        host[r] = static_cast<std::uint32_t>(static_cast<double>(r) * each);
      }
      places->copy_from_host(host);
      return std::pair{
          streams(8 * d->sample().ids()), Operation([this, d, rows, places] {
            const Bags bags = d->sample();
            gather_ids(backend_, {bags.rows, {}}, places->span(), {bags.offsets, bags.fields, rows->span(), {}});
          })};
    });
    add(shape, "sort_ids", [this](Data d) {  // reads ids, writes sorted words and bags
      return std::pair{streams((4 + 8 + 4) * ids(*d)),
                       Operation([this, d] { sort_ids(backend_, d->sample(), d->common(), *d->sorted); })};
    });
  }

  void add_updates(const MicroShape& shape) {
    using Data = const std::shared_ptr<MicroData>&;
    for (const auto& [name, kind] : {std::pair{"sgd", OptimizerKind::sgd}, std::pair{"adagrad", OptimizerKind::adagrad},
                                     std::pair{"rowwise_adagrad", OptimizerKind::rowwise_adagrad},
                                     std::pair{"adam", OptimizerKind::adam}, std::pair{"ftrl", OptimizerKind::ftrl}}) {
      add(shape, std::string("update_embeddings_") + name, kind, [this](Data d) {
        sort_ids(backend_, d->sample(), d->common(), *d->sorted);
        const std::int64_t updated = 2 * d->distinct_rows() * (d->dim() + d->state_columns());
        return std::pair{reads_rows(ids(*d) * d->dim() + updated), Operation([this, d] {
                           update_embeddings(backend_, *d->sorted, d->sample(), d->common(), d->dsample(), d->dcommon(),
                                             d->step(), d->arena());
                         })};
      });
    }
    add(shape, "embedding_gradient", [this](Data d) {
      sort_ids(backend_, d->sample(), d->common(), *d->sorted);
      return std::pair{reads_rows((ids(*d) + d->distinct_rows()) * d->dim()), Operation([this, d] {
                         embedding_gradient(backend_, *d->sorted, d->sample(), d->common(), d->dsample(), d->dcommon(),
                                            d->dim());
                       })};
    });
    add(shape, "update_rows", [this](Data d) {
      sort_ids(backend_, d->sample(), d->common(), *d->sorted);
      embedding_gradient(backend_, *d->sorted, d->sample(), d->common(), d->dsample(), d->dcommon(), d->dim());
      return std::pair{reads_rows(d->distinct_rows() * (3 * d->dim() + 2 * d->state_columns())),
                       Operation([this, d] { update_rows(backend_, *d->sorted, d->step(), d->arena()); })};
    });
    add(shape, "clipping_scale", [this](Data d) {
      sort_ids(backend_, d->sample(), d->common(), *d->sorted);
      embedding_gradient(backend_, *d->sorted, d->sample(), d->common(), d->dsample(), d->dcommon(), d->dim());
      auto scale = std::make_shared<Buffer<float>>(backend_.memory(), 1);
      const std::int64_t gradients =
          static_cast<std::int64_t>(d->gradients.flat().size()) + d->distinct_rows() * d->dim();
      return std::pair{streams(4 * gradients), Operation([this, d, scale] {
                         clipping_scale(backend_, d->gradients.flat(), d->sorted.get(), 1.0F, scale->data());
                       })};
    });
    add(shape, "check_finite", [this](Data d) {
      sort_ids(backend_, d->sample(), d->common(), *d->sorted);
      embedding_gradient(backend_, *d->sorted, d->sample(), d->common(), d->dsample(), d->dcommon(), d->dim());
      auto losses = std::make_shared<Buffer<TaskLosses>>(backend_.memory(), 1);
      auto skip = std::make_shared<Buffer<std::int64_t>>(backend_.memory(), 1);
      const std::int64_t gradients =
          static_cast<std::int64_t>(d->gradients.flat().size()) + d->distinct_rows() * d->dim();
      return std::pair{streams(4 * gradients), Operation([this, d, losses, skip] {
                         check_finite(backend_, losses->data(), d->gradients.flat(), d->sorted.get(), skip->data());
                       })};
    });
    add(shape, "update_dense", [this](Data d) {  // Adam: reads and writes weights and two moments, reads gradients
      return std::pair{streams(static_cast<std::int64_t>(d->parameters.flat().size()) * 4 * 7), Operation([this, d] {
                         update_dense(backend_, d->parameters.flat(), d->gradients.flat(), d->dense_state.span(),
                                      d->step());
                       })};
    });
    add(shape, "initialise_state", [this](Data d) {
      return std::pair{streams(d->shape().table_rows * d->state_columns() * 4), Operation([this, d] {
                         initialise_state(backend_, d->step().config, d->arena().state, d->dim());
                       })};
    });
    add(shape, "squared_norm", [this](Data d) {
      return std::pair{streams(d->shape().impressions * d->towers().sample_inputs * 4),
                       Operation([this, d] { benchmark::DoNotOptimize(squared_norm(backend_, d->dsample())); })};
    });
  }

  void add_towers(const MicroShape& shape) {
    using Data = const std::shared_ptr<MicroData>&;
    const auto flop = [](const MicroData& d) {
      return forward_flop(d.towers(), static_cast<double>(d.shape().impressions),
                          static_cast<double>(d.shape().common_rows));
    };
    const auto forward = [this](const MicroData& d, TowerWorkspace& workspace) {
      towers_forward(backend_, d.towers(), d.parameters.const_views(), d.inputs(), {}, workspace, d.logits());
    };
    add(shape, "towers_forward", [=](Data d) {
      return std::pair{multiplies(flop(*d)), Operation([=] { forward(*d, d->workspace); })};
    });
    add(shape, "towers_backward", [=, this](Data d) {
      forward(*d, d->workspace);
      return std::pair{multiplies(2 * flop(*d)), Operation([=, this] {
                         towers_backward(backend_, d->towers(), d->parameters.const_views(), d->inputs(), {},
                                         d->dlogits(), d->workspace, d->gradients.views(), d->dcommon(), d->dsample());
                       })};
    });
    add(shape, "separate_towers", [this](Data d) {
      const MatrixView<float> first = d->gradients.views().first_sample;
      const std::int64_t dim = d->dim() / kTowers, pooled = first.rows / (kTowers * dim) * kTowers * dim;
      return std::pair{streams(pooled * first.cols / kTowers * 4),
                       Operation([=, this] { separate_towers(backend_, first, pooled, dim); })};
    });
  }

  void add_rest(const MicroShape& shape) {
    using Data = const std::shared_ptr<MicroData>&;
    add(shape, "two_task_loss", [this](Data d) {
      auto losses = std::make_shared<Buffer<TaskLosses>>(backend_.memory(), 1);
      return std::pair{streams(d->shape().impressions * (8 + 2 + 8)), Operation([this, d, losses] {
                         two_task_loss(backend_, {}, d->logits(), d->click(), d->conversion(), d->shape().impressions,
                                       losses->data(), d->dlogits());
                       })};
    });
    add(shape, "copy_matrix", [this](Data d) {
      return std::pair{streams(2 * 4 * d->shape().impressions * d->towers().sample_inputs),
                       Operation([this, d] { copy_matrix(backend_, d->pooled_sample(), d->dsample()); })};
    });
    add(shape, "copy", [this](Data d) {
      const std::int64_t bytes = 4 * d->shape().impressions * d->towers().sample_inputs;
      return std::pair{streams(2 * bytes), Operation([this, d, bytes] {
                         backend_.copy(d->dsample().data, d->pooled_sample().data, static_cast<std::size_t>(bytes));
                       })};
    });
    add(shape, "auc", [this](Data d) {  // the first logits as scores
      const std::span<const float> scores(d->dsample().data, static_cast<std::size_t>(d->shape().impressions));
      return std::pair{streams(d->shape().impressions * (4 + 1)),
                       Operation([this, d, scores] { benchmark::DoNotOptimize(auc(backend_, scores, d->click())); })};
    });
    add(shape, "task_metrics", [this](Data d) {
      return std::pair{
          streams(d->shape().impressions * (8 + 2)), Operation([this, d] {
            benchmark::DoNotOptimize(task_metrics(backend_, d->logits(), ReadOut::factor, d->click(), d->conversion()));
          })};
    });
  }

  static std::int64_t ids(const MicroData& data) { return data.sample().ids() + data.common().ids(); }

  Backend& backend_;
  std::map<Limit, double> ceilings_;
  std::shared_ptr<MicroData> data_;
  OptimizerKind data_optimizer_ = OptimizerKind::adam;
};

/// Takes --device, --threads and --precision out of the arguments, with the meaning that they have for `esmm_gpu`.
Config take_flags(int& argc, char** argv) {
  std::vector<FlagValue> flags;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--device" || flag == "--threads" || flag == "--precision") {
      if (i + 1 == argc) throw usage_error("{}: needs a value.", flag);
      flags.push_back({flag.substr(2), argv[++i]});
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  return resolve_config("", flags);
}

int run(int argc, char** argv) {
  const Config config = take_flags(argc, argv);
  benchmark::Initialize(&argc, argv);
  if (argc > 1) throw usage_error("{}: unknown. It takes --device, --threads, --precision and --benchmark_…", argv[1]);
  const auto backend = make_backend(config.device, config.threads, config.precision);
  benchmark::AddCustomContext("backend", fmt::format("{}, {}", backend->name(), name_of(config.precision)));
  Micro micro(*backend, config.threads, config.precision);
  const std::vector<std::int64_t> paper{200, 80}, odd{33, 17};
  micro.add_shape({{5000, 87, 10, 13, 1.3, 47.4, 1'000'000}, "ali_ccp", 18, paper, Activation::relu});
  micro.add_shape({{5000, 87, 10, 13, 1.3, 47.4, 1'000'000}, "ali_ccp_defaults", 12, paper, Activation::prelu});
  micro.add_shape({{5000, 0, 23, 0, 1.0, 0.0, 1'000'000}, "no_common_rows", 16, paper, Activation::relu});
  micro.add_shape({{333, 111, 7, 3, 2.5, 1.0, 10'000}, "odd_widths", 7, odd, Activation::prelu});
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace esmm::bench

int main(int argc, char** argv) {
  try {
    return esmm::bench::run(argc, argv);
  } catch (const esmm::Error& error) {
    std::fprintf(stderr, "esmm_bench_micro: %s\n", error.what());
    return static_cast<int>(error.code());
  }
}
