// Scores a log with a trained run through the library and prints the mean probabilities.
//   mean_prediction RUN DATA
#include <cstdio>
#include <exception>

#include "engine/device.hpp"
#include "engine/evaluator.hpp"
#include "engine/run_model.hpp"
#include "kernels/read_out.hpp"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: mean_prediction RUN DATA\n");
    return 2;
  }
  try {
    const auto backend = esmm::make_backend("cpu", /*threads=*/0);
    const esmm::RunModel run = esmm::load_run(*backend, argv[1]);
    const auto dataset = esmm::open_dataset(esmm::request_for_run(run, argv[2]));
    const esmm::ReadOut read_out = run.model().spec().method.read_out;
    double pctr = 0, pcvr = 0;
    std::int64_t impressions = 0;
    esmm::score(*backend, run.model(), dataset, {}, [&](const esmm::HostBatch&, esmm::MatrixView<const float> logits) {
      for (std::int64_t r = 0; r < logits.rows; ++r) {
        const esmm::Prediction p = esmm::predict(read_out, logits(r, 0), logits(r, 1));
        pctr += p.pctr;
        pcvr += p.pcvr;
      }
      impressions += logits.rows;
    });
    const auto count = static_cast<double>(impressions);
    std::printf("%lld impressions, mean pctr %.6f, mean pcvr %.6f\n", static_cast<long long>(impressions), pctr / count,
                pcvr / count);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mean_prediction: %s\n", error.what());
    return 1;
  }
}
