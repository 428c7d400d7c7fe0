#pragma once
#include <onnx/onnx_pb.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/view.hpp"

namespace esmm {

/// Writes an ONNX graph node by node. Values are named; a function that adds one returns its name. Source: the operator
/// specifications of ONNX, opset 17.
class OnnxGraph {
 public:
  static constexpr std::int64_t kOpset = 17, kIrVersion = 8;
  /// A dimension is a number or, where it is free, a symbol.
  using Dimension = std::variant<std::int64_t, std::string>;
  using Attributes = std::initializer_list<std::pair<const char*, std::variant<std::int64_t, const char*>>>;

  explicit OnnxGraph(onnx::GraphProto& graph) : graph_(graph) {}

  std::string input(const std::string& name, onnx::TensorProto::DataType type, const std::vector<Dimension>& shape,
                    const std::string& meaning);
  void output(const std::string& name, const std::string& value, const std::vector<Dimension>& shape,
              const std::string& meaning);

  std::string constant(const std::string& name, const std::vector<std::int64_t>& values);
  std::string constant(const std::string& name, const std::vector<float>& values);
  std::string constant(const std::string& name, MatrixView<const float> values);
  /// A scalar.
  std::string scalar(std::int64_t value);
  std::string scalar(float value);
  /// An initializer whose shape is set and whose data are still to be given.
  onnx::TensorProto& tensor(const std::string& name, onnx::TensorProto::DataType type,
                            const std::vector<std::int64_t>& shape);

  /// The first output of a new node.
  std::string add(const char* op, const std::vector<std::string>& inputs, Attributes attributes = {});
  /// Two outputs of a new node.
  std::pair<std::string, std::string> add_pair(const char* op, const std::vector<std::string>& inputs,
                                               Attributes attributes = {});

  // Short forms.
  /// Elements [begin, end) of a vector; a negative end counts from the back.
  std::string slice(const std::string& vector, std::int64_t begin, std::int64_t end);
  std::string reshape(const std::string& value, const std::vector<std::int64_t>& shape);
  /// A new axis of length 1.
  std::string unsqueeze(const std::string& value, std::int64_t axis);
  std::string cast(const std::string& value, onnx::TensorProto::DataType to);
  /// A tensor of that shape (a value) whose elements are all 0.
  std::string zeros(const std::string& shape, onnx::TensorProto::DataType type);

 private:
  onnx::NodeProto& node(const char* op, const std::vector<std::string>& inputs, Attributes attributes);
  std::string new_name(const std::string& stem) { return stem + "_" + std::to_string(names_++); }

  onnx::GraphProto& graph_;
  int names_ = 0;
};

}  // namespace esmm
