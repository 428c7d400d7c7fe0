#pragma once
#include <span>
#include <string_view>

#include "kernels/loss.hpp"
#include "kernels/read_out.hpp"

namespace esmm {

struct Config;

/// Values of --model, in the order of the table of methods.
enum class ModelKind { base, aman, oversampling, unbias, division, esmm_ns, esmm, esmm_aux };
enum class Unbias { rejection, weights };  // how UNBIAS undoes the selection of clicks

/// One method of arXiv:1804.07931 §3.2: what the two heads share, what the second one learns and how pCVR is read.
struct Method {
  std::string_view name;
  bool shared_tables;        // both towers read the same embedding rows
  Probability probability;   // what the second head's label is compared with
  RowWeights rows;           // which rows count in the second head's loss
  float Config::*rate;       // of `rows`; null: none
  float Config::*auxiliary;  // weight of a further loss, BCE(conversion, pCVR) over clicks; null: none
  ReadOut read_out;
  std::string_view second_task;  // "cvr" or "ctcvr": the space of the second loss, which names it in logs
};

/// THE list of methods, in the order of ModelKind. Another method is another row.
[[nodiscard]] std::span<const Method> methods();
[[nodiscard]] const Method& method(ModelKind kind);
/// What the configured model is trained for, at step 0.
[[nodiscard]] Objective objective(const Config& config);

}  // namespace esmm
