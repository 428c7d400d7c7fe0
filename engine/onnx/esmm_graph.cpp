#include "engine/onnx/esmm_graph.hpp"

#include <algorithm>
#include <limits>

#include "engine/onnx/graph.hpp"

namespace esmm {

namespace {

using onnx::TensorProto;

constexpr std::int64_t kToTheEnd = std::numeric_limits<std::int64_t>::max();

bool reads_values(const FieldInput& field) {
  return field.pooling == Pooling::weighted_sum;
}

float size_exponent(Pooling pooling) {
  return pooling == Pooling::mean ? -1.0F : pooling == Pooling::sqrtn ? -0.5F : 0.0F;
}

/// The bags of one side of the batch, from ids to pooled embeddings.
class SideGraph {
 public:
  SideGraph(OnnxGraph& graph, const ModelSpec& spec, Side side, Defaults defaults)
      : graph_(graph), name_(side == Side::sample ? "sample" : "common"), dim_(spec.dim), defaults_(defaults) {
    for (std::size_t f = 0; f < spec.schema.fields.size(); ++f) {
      if (spec.schema.fields[f].side != side) continue;
      fields_.push_back(spec.inputs.fields[f]);
      first_row_.push_back(fields_.back().first_row);
      const auto table = std::find_if(spec.tables.begin(), spec.tables.end(), [&](const TableSpec& candidate) {
        return candidate.name == spec.schema.fields[f].table;
      });
      table_rows_.push_back(table->rows);
    }
  }

  [[nodiscard]] std::int64_t fields() const { return static_cast<std::int64_t>(fields_.size()); }

  /// Pooled embeddings [rows, F*D] of `rows` rows with F bags each.
  std::string pooled(const std::string& rows) {
    const std::string count = name_ + "_ids";
    ids_ = graph_.input(name_ + "_ids", TensorProto::INT64, {count},
                        "rows of the fields' vocabularies; 0, or a row that does not exist: unknown");
    const std::string offsets = graph_.input(
        name_ + "_offsets", TensorProto::INT64, {rows + "*" + std::to_string(fields()) + "+1"},
        "bag of (row r, field f) is ids[offsets[r*F + f]] up to ids[offsets[r*F + f + 1]]; the first is 0");
    ends_ = graph_.slice(offsets, 1, kToTheEnd);
    starts_ = graph_.slice(offsets, 0, -1);
    find_bags();
    const std::string vectors = weighted(graph_.add("Gather", {kEmbeddingTensor, arena_rows()}));
    // ScatterElements adds one element after the other in ONNX Runtime; ScatterND runs on several threads.
    const std::string bags_by_dim = graph_.add(
        "Concat", {graph_.add("Shape", {ends_}), graph_.constant(name_ + "_dim", std::vector{dim_})}, {{"axis", 0}});
    const std::string targets = graph_.add("Expand", {graph_.unsqueeze(bag_, 1), graph_.add("Shape", {vectors})});
    const std::string sums =
        graph_.add("ScatterElements", {graph_.zeros(bags_by_dim, TensorProto::FLOAT), targets, vectors},
                   {{"axis", 0}, {"reduction", "add"}});
    return graph_.reshape(scaled_by_size(sums), {-1, fields() * dim_});
  }

 private:
  /// bag_ [N]: the bag of id i is the number of bags that end at or before i. field_ [N].
  void find_bags() {
    const std::string one_more = graph_.add("Add", {graph_.add("Shape", {ids_}), graph_.scalar(std::int64_t{1})});
    const std::string ones = graph_.add("Expand", {graph_.scalar(std::int64_t{1}), graph_.add("Shape", {ends_})});
    const std::string ends_here =
        graph_.add("ScatterElements", {graph_.zeros(one_more, TensorProto::INT64), ends_, ones},
                   {{"axis", 0}, {"reduction", "add"}});
    bag_ = graph_.slice(graph_.add("CumSum", {ends_here, graph_.scalar(std::int64_t{0})}), 0, -1);
    field_ = graph_.add("Mod", {bag_, graph_.scalar(fields())});
  }

  /// A value of each id's field.
  template <class T>
  std::string of_field(const std::string& name, const std::vector<T>& values) {
    return graph_.add("Gather", {graph_.constant(name_ + "_" + name, values), field_});
  }

  std::string arena_rows() {
    const std::string zero = graph_.scalar(std::int64_t{0});
    const std::string known = graph_.add("And", {graph_.add("GreaterOrEqual", {ids_, zero}),
                                                 graph_.add("Less", {ids_, of_field("table_rows", table_rows_)})});
    return graph_.add("Add", {graph_.add("Where", {known, ids_, zero}), of_field("first_row", first_row_)});
  }

  /// Each id's vector times its value, for the fields that read values.
  std::string weighted(const std::string& vectors) {
    const bool some = std::any_of(fields_.begin(), fields_.end(), reads_values);
    if (!some) return vectors;
    std::string weights = graph_.input(name_ + "_values", TensorProto::FLOAT, {name_ + "_ids"}, "value of each id");
    if (defaults_ == Defaults::optional) graph_.constant(weights, std::vector{1.0F});
    weights = transformed(weights);
    if (!std::all_of(fields_.begin(), fields_.end(), reads_values)) {
      std::vector<std::int64_t> reads;
      for (const FieldInput& field : fields_) reads.push_back(reads_values(field) ? 1 : 0);
      weights = graph_.add(
          "Where", {graph_.cast(of_field("reads_values", reads), TensorProto::BOOL), weights, graph_.scalar(1.0F)});
    }
    return graph_.add("Mul", {vectors, graph_.unsqueeze(weights, 1)});
  }

  std::string transformed(std::string values) {
    std::vector<float> clip;
    std::vector<std::int64_t> log1p;
    for (const FieldInput& field : fields_) {
      const bool clipped = reads_values(field) && field.transform == ValueTransform::clipped;
      clip.push_back(clipped ? field.clip : std::numeric_limits<float>::max());
      log1p.push_back(reads_values(field) && field.transform == ValueTransform::log1p ? 1 : 0);
    }
    if (std::any_of(log1p.begin(), log1p.end(), [](std::int64_t yes) { return yes != 0; })) {
      const std::string size =
          graph_.add("Log", {graph_.add("Add", {graph_.add("Abs", {values}), graph_.scalar(1.0F)})});
      const std::string signed_size = graph_.add("Mul", {graph_.add("Sign", {values}), size});
      values = graph_.add("Where", {graph_.cast(of_field("log1p", log1p), TensorProto::BOOL), signed_size, values});
    }
    if (std::any_of(clip.begin(), clip.end(), [](float c) { return c != std::numeric_limits<float>::max(); })) {
      const std::string bound = of_field("clip", clip);
      values = graph_.add("Max", {graph_.add("Min", {values, bound}), graph_.add("Neg", {bound})});
    }
    return values;
  }

  /// Sums [bags, D] → means or sums over √n, where the fields ask for them.
  std::string scaled_by_size(const std::string& sums) {
    std::vector<float> exponents;
    for (const FieldInput& field : fields_) exponents.push_back(size_exponent(field.pooling));
    if (std::all_of(exponents.begin(), exponents.end(), [](float e) { return e == 0.0F; })) return sums;
    const std::string size =
        graph_.add("Max", {graph_.cast(graph_.add("Sub", {ends_, starts_}), TensorProto::FLOAT), graph_.scalar(1.0F)});
    const std::string scale =
        graph_.add("Pow", {graph_.reshape(size, {-1, fields()}), graph_.constant(name_ + "_exponent", exponents)});
    return graph_.add("Mul", {graph_.reshape(sums, {-1, fields(), dim_}), graph_.unsqueeze(scale, 2)});
  }

  OnnxGraph& graph_;
  std::string name_;
  std::int64_t dim_;
  Defaults defaults_;
  std::vector<FieldInput> fields_;
  std::vector<std::int64_t> first_row_, table_rows_;
  std::string ids_, starts_, ends_, bag_, field_;
};

std::string normalised_dense(OnnxGraph& graph, const ModelSpec& spec) {
  const std::vector<DenseInput>& columns = spec.inputs.dense;
  const std::string values =
      graph.input("dense", TensorProto::FLOAT, {"impressions", static_cast<std::int64_t>(columns.size())},
                  "dense columns as in the log; NaN: missing");
  std::vector<float> mean, inverse_std;
  for (const DenseInput& column : columns) {
    mean.push_back(column.mean);
    inverse_std.push_back(column.inverse_std);
  }
  const std::string centred = graph.add("Sub", {values, graph.constant("dense_mean", mean)});
  const std::string scaled = graph.add("Mul", {centred, graph.constant("dense_inverse_std", inverse_std)});
  return graph.add("Where", {graph.add("IsNaN", {values}), graph.scalar(0.0F), scaled});
}

std::vector<float> copy(std::span<const float> values) {
  return {values.begin(), values.end()};
}

/// Input of the sample side: pooled embeddings, then dense features. Empty when there is neither.
std::string sample_inputs(OnnxGraph& graph, const ModelSpec& spec, Defaults defaults) {
  SideGraph side(graph, spec, Side::sample, defaults);
  const std::string pooled = side.fields() > 0 ? side.pooled("impressions") : "";
  if (spec.inputs.dense.empty()) return pooled;
  const std::string dense = normalised_dense(graph, spec);
  return pooled.empty() ? dense : graph.add("Concat", {pooled, dense}, {{"axis", 1}});
}

/// Both towers' first layers before the activation, [B, 2*H1]. The common half is computed once per common row.
std::string first_layer(OnnxGraph& graph, const Parameters& parameters, Defaults defaults) {
  const ModelSpec& spec = parameters.spec();
  const TowerViews<const float>& views = parameters.towers().const_views();
  std::string sum = graph.constant("first_bias", copy(views.first_bias));
  if (const std::string sample = sample_inputs(graph, spec, defaults); !sample.empty()) {
    sum = graph.add("Gemm", {sample, graph.constant("first_weight_sample", views.first_sample), sum});
  }
  SideGraph common(graph, spec, Side::common, defaults);
  if (common.fields() == 0) return sum;
  const std::string product =
      graph.add("MatMul", {common.pooled("common_rows"), graph.constant("first_weight_common", views.first_common)});
  const std::string row = graph.input("common_row", TensorProto::INT64, {"impressions"},
                                      "the common row of each impression; left out: row 0 of all");
  if (defaults == Defaults::optional) graph.constant(row, std::vector<std::int64_t>{0});
  return graph.add("Add", {graph.add("Gather", {product, row}), sum});
}

std::string activated(OnnxGraph& graph, const std::string& value, std::span<const float> slope,
                      const std::string& name) {
  return slope.empty() ? graph.add("Relu", {value}) : graph.add("PRelu", {value, graph.constant(name, copy(slope))});
}

/// The logit [B] of one tower, from its first layer's activations.
std::string logit(OnnxGraph& graph, std::string value, const std::vector<DenseLayer<const float>>& layers,
                  const std::string& tower) {
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const bool last = l + 1 == layers.size();
    const std::string name = tower + (last ? "_output" : "_" + std::to_string(l + 1));
    value = graph.add("Gemm", {value, graph.constant(name + "_weight", layers[l].weight),
                               graph.constant(name + "_bias", copy(layers[l].bias))});
    if (!last) value = activated(graph, value, layers[l].slope, name + "_slope");
  }
  return graph.reshape(value, {-1});
}

/// In double precision, which costs nothing on [B] and keeps a ratio of small probabilities exact.
void read_out(OnnxGraph& graph, ReadOut kind, const std::string& click_logit, const std::string& conversion_logit) {
  const std::string pctr = graph.add("Sigmoid", {graph.cast(click_logit, TensorProto::DOUBLE)});
  const std::string second = graph.add("Sigmoid", {graph.cast(conversion_logit, TensorProto::DOUBLE)});
  const bool ratio = kind == ReadOut::ratio;
  const std::string smallest =
      ratio ? graph.cast(graph.scalar(std::numeric_limits<float>::min()), TensorProto::DOUBLE) : "";
  const std::string pcvr = ratio ? graph.add("Div", {second, graph.add("Max", {pctr, smallest})}) : second;
  const std::string pctcvr = ratio ? second : graph.add("Mul", {pctr, second});
  const auto output = [&](const char* name, const std::string& value, const char* meaning) {
    graph.output(name, graph.cast(value, TensorProto::FLOAT), {"impressions"}, meaning);
  };
  output("pctr", pctr, "probability of a click");
  output("pcvr", pcvr, ratio ? "pctcvr / pctr, which may exceed 1" : "probability of a conversion after a click");
  output("pctcvr", pctcvr, "probability of a click and a conversion");
}

}  // namespace

void write_esmm_graph(const Parameters& parameters, Defaults defaults, onnx::GraphProto& proto) {
  const ModelSpec& spec = parameters.spec();
  const TowerViews<const float>& views = parameters.towers().const_views();
  OnnxGraph graph(proto);
  graph.tensor(kEmbeddingTensor, TensorProto::FLOAT, {spec.arena_rows(), spec.dim});
  const std::string joint =
      activated(graph, first_layer(graph, parameters, defaults), views.first_slope, "first_slope");
  const std::int64_t width = spec.towers.hidden.front();
  const auto [click, conversion] =
      graph.add_pair("Split", {joint, graph.constant("tower_widths", std::vector{width, width})}, {{"axis", 1}});
  read_out(graph, spec.method.read_out, logit(graph, click, views.deeper[0], "ctr"),
           logit(graph, conversion, views.deeper[1], "cvr"));
}

}  // namespace esmm
