#include "engine/parameters.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/error.hpp"
#include "kernels/random.hpp"
#include "kernels/separate_towers.hpp"

namespace esmm {

namespace {

constexpr const char* kTowerNames[kTowers] = {"ctr", "cvr"};
constexpr float kInitialSlope = 0.25F;  // arXiv:1502.01852

/// Hands out consecutive pieces of the flat vector; with a null base it only counts.
class Carver {
 public:
  explicit Carver(float* base) : base_(base) {}
  MatrixView<float> matrix(std::int64_t rows, std::int64_t cols) { return {take(rows * cols), rows, cols}; }
  std::span<float> vector(std::int64_t size) { return {take(size), static_cast<std::size_t>(size)}; }
  [[nodiscard]] std::int64_t used() const { return used_; }

 private:
  float* take(std::int64_t size) {
    float* piece = base_ == nullptr ? nullptr : base_ + used_;
    used_ += size;
    return piece;
  }
  float* base_;
  std::int64_t used_ = 0;
};

struct Carved {
  TowerViews<float> views;
  std::int64_t weights = 0, total = 0;
};

Carved carve(const TowerShape& shape, float* base) {
  Carved out;
  Carver carver(base);
  const std::int64_t joint = kTowers * shape.hidden.front();
  const bool prelu = shape.activation == Activation::prelu;
  std::vector<std::int64_t> widths(shape.hidden);
  widths.push_back(1);

  TowerViews<float>& v = out.views;
  v.first_common = carver.matrix(shape.common_inputs, joint);
  v.first_sample = carver.matrix(shape.sample_inputs, joint);
  for (auto& tower : v.deeper) {
    for (std::size_t l = 1; l < widths.size(); ++l) {
      tower.push_back({carver.matrix(widths[l - 1], widths[l]), {}, {}});
    }
  }
  out.weights = carver.used();
  v.first_bias = carver.vector(joint);
  if (prelu) v.first_slope = carver.vector(joint);
  for (auto& tower : v.deeper) {
    for (std::size_t l = 1; l < widths.size(); ++l) {
      tower[l - 1].bias = carver.vector(widths[l]);
      if (prelu && l + 1 < widths.size()) tower[l - 1].slope = carver.vector(widths[l]);
    }
  }
  out.total = carver.used();
  return out;
}

std::vector<TowerParameters::Part> name_parts(const TowerViews<float>& views, std::int64_t first_width) {
  std::vector<TowerParameters::Part> parts;
  const auto add_vector = [&](std::string name, std::span<float> values) {
    if (values.empty()) return;
    parts.push_back({std::move(name), {values.data(), 1, static_cast<std::int64_t>(values.size())}, true});
  };
  for (std::size_t t = 0; t < kTowers; ++t) {
    const std::string tower = kTowerNames[t];
    const std::int64_t begin = static_cast<std::int64_t>(t) * first_width;
    const auto piece = [&](std::span<float> joint) {
      return joint.empty() ? joint
                           : joint.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(first_width));
    };
    parts.push_back({tower + ".0.weight_common", views.first_common.columns(begin, first_width)});
    parts.push_back({tower + ".0.weight_sample", views.first_sample.columns(begin, first_width)});
    add_vector(tower + ".0.bias", piece(views.first_bias));
    add_vector(tower + ".0.slope", piece(views.first_slope));
    const auto& deeper = views.deeper[t];
    for (std::size_t l = 0; l < deeper.size(); ++l) {
      const std::string layer = tower + (l + 1 == deeper.size() ? ".output" : fmt::format(".{}", l + 1));
      parts.push_back({layer + ".weight", deeper[l].weight});
      add_vector(layer + ".bias", deeper[l].bias);
      add_vector(layer + ".slope", deeper[l].slope);
    }
  }
  return parts;
}

}  // namespace

TowerParameters::TowerParameters(Memory& memory, const TowerShape& shape) : flat_(memory, carve(shape, nullptr).total) {
  const Carved carved = carve(shape, flat_.data());
  views_ = carved.views;
  weights_ = static_cast<std::size_t>(carved.weights);
  const_views_.first_common = views_.first_common;
  const_views_.first_sample = views_.first_sample;
  const_views_.first_bias = views_.first_bias;
  const_views_.first_slope = views_.first_slope;
  for (std::size_t t = 0; t < kTowers; ++t) {
    for (const DenseLayer<float>& layer : views_.deeper[t]) {
      const_views_.deeper[t].push_back({layer.weight, layer.bias, layer.slope});
    }
  }
  parts_ = name_parts(views_, shape.hidden.front());
}

Parameters::Parameters(Memory& memory, const ModelSpec& spec)
    : memory_(&memory),
      spec_(spec),
      rows_(spec.arena_rows()),
      dim_(spec.dim),
      stride_(memory.row_stride(spec.dim)),
      tables_(memory, rows_ * stride_),
      towers_(memory, spec.towers) {}

std::int64_t Parameters::count() const {
  const std::int64_t pooled = spec_.common_inputs() + spec_.pooled_sample_columns();
  const std::int64_t unread = spec_.method.shared_tables ? 0 : pooled * spec_.towers.hidden.front();
  return rows_ * dim_ + static_cast<std::int64_t>(towers_.flat().size()) - unread;
}

namespace {

float draw(Initialiser kind, std::uint64_t seed, std::uint64_t place) {
  switch (kind) {
    case Initialiser::truncated_normal:
      return truncated_normal(seed, place);
    case Initialiser::normal:
      return normal(seed, place);
    case Initialiser::uniform:
      return (2.0F * uniform(seed, place) - 1.0F) * std::sqrt(3.0F);  // variance 1
  }
  return 0.0F;
}

}  // namespace

void Parameters::initialise(const Config& config, ThreadPool& pool) {
  initialise_tables(config, pool);
  initialise_towers(config);
}

void Parameters::initialise_tables(const Config& config, ThreadPool& pool) {
  constexpr std::int64_t kBlockBytes = 16 << 20, kRowsPerChunk = 1 << 10;
  const std::int64_t block_rows = std::max<std::int64_t>(1, kBlockBytes / (stride_ * std::int64_t{sizeof(float)}));
  std::vector<float> block(static_cast<std::size_t>(std::min(rows_, block_rows) * stride_));  // padding: zeros
  for (std::int64_t first = 0; first < rows_; first += block_rows) {
    const std::int64_t count = std::min(block_rows, rows_ - first);
    pool.for_each_chunk((count + kRowsPerChunk - 1) / kRowsPerChunk, [&](std::int64_t chunk, int) {
      const std::int64_t end = std::min(count, (chunk + 1) * kRowsPerChunk);
      for (std::int64_t r = chunk * kRowsPerChunk; r < end; ++r) {
        for (std::int64_t c = 0; c < dim_; ++c) {
          const auto place = static_cast<std::uint64_t>((first + r) * dim_ + c);
          block[static_cast<std::size_t>(r * stride_ + c)] =
              config.embedding_stddev * draw(config.embedding_init, random_stream(config.seed, 1), place);
        }
      }
    });
    const auto bytes = static_cast<std::size_t>(count * stride_) * sizeof(float);
    memory_->copy_from_host(tables_.data() + first * stride_, block.data(), bytes);
  }
}

void Parameters::initialise_towers(const Config& config) {
  const std::span<float> flat = towers_.flat();
  std::vector<float> values(flat.size());
  const std::int64_t pooled = spec_.common_inputs() + spec_.pooled_sample_columns();
  const std::int64_t dense = spec_.sample_inputs() - spec_.pooled_sample_columns();
  const std::int64_t inputs = pooled / spec_.dim * spec_.tower_dim() + dense;  // that one tower reads
  std::uint64_t place = 0;
  for (const TowerParameters::Part& part : towers_.parts()) {
    const bool common = part.name.ends_with("_common"), first = common || part.name.ends_with("_sample");
    const std::int64_t embedded = common ? spec_.common_inputs() : first ? spec_.pooled_sample_columns() : 0;
    const std::int64_t tower = part.name.starts_with(kTowerNames[0]) ? 0 : 1;
    const float stddev = std::sqrt(2.0F / static_cast<float>(first ? inputs : part.values.rows));
    const float constant = part.name.ends_with(".slope") ? kInitialSlope : 0.0F;
    const MatrixView<float> on_host(values.data() + (part.values.data - flat.data()), part.values.rows,
                                    part.values.cols, part.values.stride);
    for (std::int64_t r = 0; r < on_host.rows; ++r) {
      for (std::int64_t c = 0; c < on_host.cols; ++c) {
        const bool read = spec_.method.shared_tables || !first || tower_reads(tower, r, embedded, spec_.tower_dim());
        on_host(r, c) = part.is_vector ? constant
                        : !read        ? 0.0F
                                       : stddev * truncated_normal(random_stream(config.seed, 2), place++);
      }
    }
  }
  memory_->copy_from_host(flat.data(), values.data(), flat.size_bytes());
}

std::vector<StridedTensor> Parameters::tensors() const {
  std::vector<StridedTensor> tensors;
  for (const TableSpec& table : spec_.tables) {
    const float* first = tables_.data() + std::int64_t{table.first_row} * stride_;
    const std::int64_t dim = spec_.tower_dim();
    for (std::int64_t part = 0; part < dim_ / dim; ++part) {
      const std::string owner = spec_.method.shared_tables ? "" : std::string(kTowerNames[part]) + ".";
      tensors.push_back({"embedding." + owner + table.name,
                         first + part * dim,
                         table.rows,
                         dim,
                         stride_,
                         {table.rows, dim},
                         memory_});
    }
  }
  for (const TowerParameters::Part& part : towers_.parts()) {
    const auto& v = part.values;
    if (v.empty()) continue;
    std::vector<std::int64_t> shape = part.is_vector ? std::vector{v.cols} : std::vector{v.rows, v.cols};
    tensors.push_back({part.name, v.data, v.rows, v.cols, v.stride, std::move(shape), memory_});
  }
  return tensors;
}

void Parameters::load(const SafetensorsFile& file) {
  for (const StridedTensor& tensor : tensors()) {
    file.read(tensor.name, const_cast<float*>(tensor.data), tensor.rows, tensor.cols, tensor.stride, memory_);
  }
}

}  // namespace esmm
