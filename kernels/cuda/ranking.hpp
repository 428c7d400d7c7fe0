#pragma once
#include <cstdint>

#include "kernels/buffer.hpp"
#include "kernels/cuda/device.cuh"

namespace esmm::ESMM_DEVICE_NAMESPACE {

/// Working space of an AUC over n scores: 24 n bytes.
struct Ranking {
  explicit Ranking(Memory& memory)
      : unsorted_keys(memory, 0),
        unsorted_labels(memory, 0),
        keys(memory, 0),
        labels(memory, 0),
        negative(memory, 0),
        negatives(memory, 0),
        scratch(memory, 0),
        result(memory, 1) {}
  void resize(std::int64_t size);

  struct Result {
    unsigned long long twice_pairs;  // Σ over positives: 2 per negative below, 1 per equal one
    unsigned long long positives, negatives;
    unsigned long long not_numbers;  // scores that are NaN
  };

  Buffer<std::uint32_t> unsorted_keys, unsorted_labels;  // [n] integers that order as the scores do; Label
  Buffer<std::uint32_t> keys, labels;                    // [n] sorted by key
  Buffer<std::uint32_t> negative;                        // [n] 1 for negatives
  Buffer<std::uint32_t> negatives;                       // [n] negatives up to here
  Buffer<unsigned char> scratch;                         // of the sort
  Buffer<Result> result;                                 // [1]
};

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
