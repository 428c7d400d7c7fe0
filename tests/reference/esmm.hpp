#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

// The whole ESMM in double precision, one impression at a time: nothing is pooled once, factored, joined or vectorised.
namespace esmm::reference {

/// One id of a bag: row of the embedding arena and weight.
struct WeightedRow {
  std::uint32_t row;
  double weight;
};
using Bag = std::vector<WeightedRow>;

struct Impression {
  std::vector<Bag> common, sample;  // one bag per field
  std::vector<double> dense;
  bool click, conversion;
};

/// Parameters by the names of model.safetensors' towers, each row-major, and "embedding" for the arena [V, D].
struct Esmm {
  std::size_t dim;
  std::vector<std::size_t> hidden;
  bool prelu;
  double ctr_weight, ctcvr_weight;
  std::map<std::string, std::vector<double>> parameters;
};

/// Mean over the impressions of w_ctr · BCE(y, pCTR) + w_ctcvr · BCE(y·z, pCTR · pCVR).
double loss(const Esmm& model, const std::vector<Impression>& batch);

}  // namespace esmm::reference
