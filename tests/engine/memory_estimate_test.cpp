#include "engine/memory_estimate.hpp"

#include <gtest/gtest.h>

#include "engine/resident_ids.hpp"
#include "kernels/error.hpp"
#include "tests/support/small_log.hpp"

namespace esmm {
namespace {

TEST(Residency, IdsStayOnTheDeviceWhenTheyFitAndAreNeededAgain) {
  const test::TemporaryDirectory directory;
  const test::SmallLog log = test::make_small_log(directory, 300, 7);
  const std::int64_t bytes = ResidentIds::bytes(*log.train);
  EXPECT_GT(bytes, 0);
  Config config;
  config.epochs = 2;
  EXPECT_TRUE(keeps_ids_resident(config, *log.train, bytes));
  EXPECT_FALSE(keeps_ids_resident(config, *log.train, bytes - 1)) << "auto streams what does not fit";
  config.epochs = 1;
  EXPECT_FALSE(keeps_ids_resident(config, *log.train, bytes)) << "each id is needed once";

  config.resident = Resident::on;
  EXPECT_TRUE(keeps_ids_resident(config, *log.train, bytes));
  try {
    (void)keeps_ids_resident(config, *log.train, bytes - 1);
    FAIL() << "on is a promise";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::device);
    EXPECT_NE(std::string(error.what()).find("Use --resident auto or off"), std::string::npos) << error.what();
  }
  config.resident = Resident::off;
  EXPECT_FALSE(keeps_ids_resident(config, *log.train, bytes));
}

TEST(Residency, TheCpuKeepsWhatItsLoaderHasDecoded) {
  const test::TemporaryDirectory directory;
  const test::SmallLog log = test::make_small_log(directory, 300, 7);
  Config config;
  config.epochs = 2;
  config.resident = Resident::on;
  const ModelSpec spec = make_model_spec(config, log.train->schema(), *log.train->vocabulary(),
                                         normalisation(log.train->statistics().dense));
  const std::unique_ptr<Backend> cpu = make_cpu_backend(1);
  EXPECT_FALSE(check_memories(*cpu, config, spec, *log.train));
}

}  // namespace
}  // namespace esmm
