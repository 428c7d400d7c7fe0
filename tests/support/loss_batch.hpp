#pragma once
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "kernels/loss.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/on_backend.hpp"

namespace esmm::test {

/// Logits and labels of a batch on the host.
struct Impressions {
  std::vector<float> logits;  // [B, 2]
  std::vector<std::uint8_t> click, conversion;

  void add(float a, float b, bool y, bool z) {
    logits.insert(logits.end(), {a, b});
    click.push_back(y);
    conversion.push_back(z);
  }
  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(click.size()); }
};

inline Impressions random_impressions(std::int64_t rows) {
  Impressions batch;
  std::mt19937 random(7);
  std::normal_distribution<float> logit(0.0F, 3.0F);
  for (std::int64_t r = 0; r < rows; ++r) batch.add(logit(random), logit(random), random() % 2 == 0, random() % 2 == 0);
  return batch;
}

struct LossResult {
  TaskLosses losses;
  std::vector<float> dlogits;
};
/// The loss of the first `impressions` rows (by default all).
inline LossResult run_loss(Backend& backend, const Impressions& batch, Objective objective = {},
                           std::int64_t impressions = -1) {
  const BackendMatrix logits(backend, batch.rows(), 2, 2, batch.logits);
  const BackendMatrix dlogits(backend, batch.rows(), 2, 2, std::vector<float>(batch.logits.size(), std::nanf("")));
  const Buffer<std::uint8_t> click = upload(backend, batch.click), conversion = upload(backend, batch.conversion);
  const Buffer<TaskLosses> losses =
      upload(backend, std::vector<TaskLosses>{{std::nan(""), std::nan(""), std::nan("")}});
  two_task_loss(backend, objective, logits.view(), click.span(), conversion.span(),
                impressions < 0 ? batch.rows() : impressions, losses.data(), dlogits.view());
  return {download(losses)[0], download(dlogits.buffer)};
}

}  // namespace esmm::test
