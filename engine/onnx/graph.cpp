#include "engine/onnx/graph.hpp"

#include <limits>

namespace esmm {

namespace {

void describe(onnx::ValueInfoProto& info, const std::string& name, onnx::TensorProto::DataType type,
              const std::vector<OnnxGraph::Dimension>& shape, const std::string& meaning) {
  info.set_name(name);
  info.set_doc_string(meaning);
  auto& tensor = *info.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  for (const OnnxGraph::Dimension& dimension : shape) {
    auto& dim = *tensor.mutable_shape()->add_dim();
    if (const auto* symbol = std::get_if<std::string>(&dimension)) {
      dim.set_dim_param(*symbol);
    } else {
      dim.set_dim_value(std::get<std::int64_t>(dimension));
    }
  }
}

}  // namespace

std::string OnnxGraph::input(const std::string& name, onnx::TensorProto::DataType type,
                             const std::vector<Dimension>& shape, const std::string& meaning) {
  describe(*graph_.add_input(), name, type, shape, meaning);
  return name;
}

void OnnxGraph::output(const std::string& name, const std::string& value, const std::vector<Dimension>& shape,
                       const std::string& meaning) {
  node("Identity", {value}, {}).add_output(name);
  describe(*graph_.add_output(), name, onnx::TensorProto::FLOAT, shape, meaning);
}

onnx::TensorProto& OnnxGraph::tensor(const std::string& name, onnx::TensorProto::DataType type,
                                     const std::vector<std::int64_t>& shape) {
  onnx::TensorProto& tensor = *graph_.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(type);
  for (const std::int64_t extent : shape) tensor.add_dims(extent);
  return tensor;
}

std::string OnnxGraph::constant(const std::string& name, const std::vector<std::int64_t>& values) {
  onnx::TensorProto& out = tensor(name, onnx::TensorProto::INT64, {static_cast<std::int64_t>(values.size())});
  out.mutable_int64_data()->Add(values.begin(), values.end());
  return name;
}

std::string OnnxGraph::constant(const std::string& name, const std::vector<float>& values) {
  onnx::TensorProto& out = tensor(name, onnx::TensorProto::FLOAT, {static_cast<std::int64_t>(values.size())});
  out.mutable_float_data()->Add(values.begin(), values.end());
  return name;
}

std::string OnnxGraph::constant(const std::string& name, MatrixView<const float> values) {
  std::string& bytes = *tensor(name, onnx::TensorProto::FLOAT, {values.rows, values.cols}).mutable_raw_data();
  for (std::int64_t r = 0; r < values.rows; ++r) {
    bytes.append(reinterpret_cast<const char*>(values.row(r)), static_cast<std::size_t>(values.cols) * sizeof(float));
  }
  return name;
}

std::string OnnxGraph::scalar(std::int64_t value) {
  const std::string name = new_name("constant");
  tensor(name, onnx::TensorProto::INT64, {}).add_int64_data(value);
  return name;
}

std::string OnnxGraph::scalar(float value) {
  const std::string name = new_name("constant");
  tensor(name, onnx::TensorProto::FLOAT, {}).add_float_data(value);
  return name;
}

onnx::NodeProto& OnnxGraph::node(const char* op, const std::vector<std::string>& inputs, Attributes attributes) {
  onnx::NodeProto& node = *graph_.add_node();
  node.set_op_type(op);
  node.set_name(new_name(op));
  for (const std::string& name : inputs) node.add_input(name);
  for (const auto& [name, value] : attributes) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    if (const auto* text = std::get_if<const char*>(&value)) {
      attribute.set_type(onnx::AttributeProto::STRING);
      attribute.set_s(*text);
    } else {
      attribute.set_type(onnx::AttributeProto::INT);
      attribute.set_i(std::get<std::int64_t>(value));
    }
  }
  return node;
}

std::string OnnxGraph::add(const char* op, const std::vector<std::string>& inputs, Attributes attributes) {
  onnx::NodeProto& added = node(op, inputs, attributes);
  return *added.add_output() = added.name() + "_out";
}

std::pair<std::string, std::string> OnnxGraph::add_pair(const char* op, const std::vector<std::string>& inputs,
                                                        Attributes attributes) {
  onnx::NodeProto& added = node(op, inputs, attributes);
  *added.add_output() = added.name() + "_first";
  *added.add_output() = added.name() + "_second";
  return {added.output(0), added.output(1)};
}

std::string OnnxGraph::slice(const std::string& vector, std::int64_t begin, std::int64_t end) {
  return add("Slice",
             {vector, constant(new_name("begin"), std::vector{begin}), constant(new_name("end"), std::vector{end}),
              constant(new_name("axis"), std::vector<std::int64_t>{0})});
}

std::string OnnxGraph::reshape(const std::string& value, const std::vector<std::int64_t>& shape) {
  return add("Reshape", {value, constant(new_name("shape"), shape)});
}

std::string OnnxGraph::unsqueeze(const std::string& value, std::int64_t axis) {
  return add("Unsqueeze", {value, constant(new_name("axis"), std::vector{axis})});
}

std::string OnnxGraph::cast(const std::string& value, onnx::TensorProto::DataType to) {
  return add("Cast", {value}, {{"to", std::int64_t{to}}});
}

std::string OnnxGraph::zeros(const std::string& shape, onnx::TensorProto::DataType type) {
  onnx::NodeProto& added = node("ConstantOfShape", {shape}, {});
  onnx::AttributeProto& value = *added.add_attribute();
  value.set_name("value");
  value.set_type(onnx::AttributeProto::TENSOR);
  value.mutable_t()->set_data_type(type);
  value.mutable_t()->add_dims(1);
  if (type == onnx::TensorProto::INT64) {
    value.mutable_t()->add_int64_data(0);
  } else {
    value.mutable_t()->add_float_data(0.0F);
  }
  return *added.add_output() = added.name() + "_out";
}

}  // namespace esmm
