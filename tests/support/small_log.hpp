#pragma once
#include <cstdint>
#include <memory>

#include "io/packed.hpp"
#include "io/synth.hpp"
#include "tests/support/temporary_directory.hpp"

namespace esmm::test {

/// Both halves of a small synthetic log, packed with the train half's vocabulary into DIR/train and DIR/test.
struct SmallLog {
  std::shared_ptr<const PackedDataset> train, test;
};
SmallLog make_small_log(const TemporaryDirectory& directory, std::uint64_t rows, std::uint64_t seed);
/// The same of another world; its raw log stays in DIR/log.
SmallLog make_small_log(const TemporaryDirectory& directory, SynthOptions world);

}  // namespace esmm::test
