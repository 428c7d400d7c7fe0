#include "tests/support/small_log.hpp"

#include "io/pack.hpp"

namespace esmm::test {

SmallLog make_small_log(const TemporaryDirectory& directory, std::uint64_t rows, std::uint64_t seed) {
  SynthOptions world;
  world.rows = rows;
  world.seed = seed;
  return make_small_log(directory, world);
}

SmallLog make_small_log(const TemporaryDirectory& directory, SynthOptions world) {
  world.out = directory / "log";
  world.threads = 1;
  synthesise(world);
  SmallLog log;
  PackOptions options;
  options.min_count = 2;
  options.threads = 1;
  pack(*open_log(world.out, {Half::train, nullptr, true, 1}), directory / "train", options);
  log.train = PackedDataset::open(directory / "train");
  options.vocabulary = log.train->vocabulary();
  pack(*open_log(world.out, {Half::test, nullptr, true, 1}), directory / "test", options);
  log.test = PackedDataset::open(directory / "test");
  return log;
}

}  // namespace esmm::test
