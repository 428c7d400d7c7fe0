#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.hpp"

namespace esmm::test {

[[nodiscard]] std::int64_t parameter_count(const TowerShape& shape);

/// Lays all parameters out one after the other in `flat`.
template <class T>
[[nodiscard]] TowerViews<T> tower_views(const TowerShape& shape, std::span<T> flat);

/// A net with random parameters and a random batch. Impressions are grouped by `group_sizes`; without common inputs
/// the groups only say how many impressions there are.
struct TowerNet {
  TowerNet(TowerShape shape_, const std::vector<std::uint32_t>& group_sizes, unsigned seed);

  TowerShape shape;
  std::int64_t impressions, common_rows;
  std::vector<float> parameters;
  std::vector<float> common;   // [U, Ic]
  std::vector<float> sample;   // [B, Is]
  std::vector<float> dlogits;  // [B, 2]
  std::vector<std::uint32_t> common_begin;
};

template <class T>
struct TowerResults {
  std::vector<T> logits;                                  // [B, 2]
  std::vector<T> gradients;                               // laid out as TowerNet::parameters
  std::vector<T> dcommon;                                 // [U, Ic]
  std::vector<T> dsample;                                 // [B, Is]
  std::array<std::vector<std::vector<T>>, kTowers> z, a;  // [tower][hidden layer] [B, H]; z is a for ReLU
  bool bf16 = false;                                      // products of bfloat16, activations kept as bfloat16
};

/// A net's parameters, batch and results in a backend's memory. Inputs and outputs have padded rows; the padding is
/// checked to be neither read nor written, and every output to be overwritten.
class TowerRun {
 public:
  TowerRun(Backend& backend, const TowerNet& net, TowerWorkspace& workspace);
  ~TowerRun();
  /// Takes the values of a net of the same shape and groups.
  void load(const TowerNet& net);
  void forward(const Dropout& dropout);
  void backward(const Dropout& dropout);
  [[nodiscard]] std::vector<float> logits() const;
  [[nodiscard]] TowerResults<float> results() const;

 private:
  struct Memory;
  Backend& backend_;
  TowerShape shape_;
  TowerWorkspace& workspace_;
  std::unique_ptr<Memory> memory_;
};

/// Forward and backward.
[[nodiscard]] TowerResults<float> run(Backend& backend, const TowerNet& net, const Dropout& dropout = {});
[[nodiscard]] TowerResults<float> run(Backend& backend, const TowerNet& net, const Dropout& dropout,
                                      TowerWorkspace& workspace);

/// The same in double, unfactored. Dropout masks, and on which side of zero a unit's input lay where rounding decided
/// that, are read off `observed`.
[[nodiscard]] TowerResults<double> reference_run(const TowerNet& net, const TowerResults<float>& observed,
                                                 bool dropout_active);
/// What `reference_run` becomes with every input and parameter replaced by its absolute value and every unit by the
/// identity: each result bounds the sum of the absolute values of all products behind it.
[[nodiscard]] TowerResults<double> magnitude_run(const TowerNet& net, const TowerResults<float>& observed,
                                                 bool dropout_active);

/// Error bound of a result over its magnitude: rounding unit × roundings on the longest path (Higham 2002, §3.1).
[[nodiscard]] double forward_bound(const TowerShape& shape, bool bf16);
[[nodiscard]] double backward_bound(const TowerNet& net, bool bf16);

/// Fails at the first value that is off by more than `bound` times its magnitude, or not a number.
void expect_close(const std::vector<float>& values, const std::vector<double>& expected,
                  const std::vector<double>& magnitude, double bound, const char* what);

}  // namespace esmm::test
