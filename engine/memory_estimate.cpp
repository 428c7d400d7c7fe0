#include "engine/memory_estimate.hpp"

#include <spdlog/spdlog.h>
#include <algorithm>

#include "engine/device.hpp"
#include "engine/resident_ids.hpp"
#include "kernels/error.hpp"

namespace esmm {

namespace {

struct DataSizes {
  explicit DataSizes(const PackedDataset& dataset)
      : impressions(static_cast<std::int64_t>(dataset.statistics().impressions)),
        common_rows(static_cast<std::int64_t>(dataset.statistics().common_rows)) {
    for (const auto& field : dataset.statistics().fields) ids += static_cast<std::int64_t>(field.ids);
  }
  std::int64_t impressions, common_rows, ids = 0;
};

/// Bytes of the host that grow with the data: what the loader keeps decoded (the whole dataset, or two shuffle windows
/// of one that is larger; all of it but ids where those are resident) and, on the CPU, the metrics.
std::int64_t loading_bytes(const DataSizes& data, const Config& config, bool resident) {
  constexpr std::int64_t kBytesPerId = 8, kBytesPerImpression = 64;  // row and weight; labels, offsets, place
  if (resident) return kBytesPerImpression * data.impressions;
  const std::int64_t bytes = kBytesPerImpression * data.impressions + kBytesPerId * data.ids;
  return std::min(bytes, 2 * (config.window_mb << 20));
}

/// Bytes of a device for the batches under way and their sorted ids. A batch that holds more ids than the mean by half
/// still fits.
std::int64_t batch_bytes(const DataSizes& data, const Config& config, const ModelSpec& spec) {
  constexpr std::int64_t kCopies = 7;        // three slots and their places, with a quarter to spare
  constexpr std::int64_t kBytesPerId = 8;    // row and weight
  constexpr std::int64_t kSortedBytes = 52;  // eight arrays of 32 bits, CUB's scratch, and a quarter to spare
  constexpr std::int64_t kBytesPerRow = 16;  // labels, common_begin, place
  if (data.impressions == 0) return 0;
  const std::int64_t rows = std::min(config.batch_size, data.impressions);
  const std::int64_t ids = data.ids * rows / data.impressions * 3 / 2;
  const bool keeps_row_gradients = config.clip_tables || config.on_nonfinite == OnNonfinite::skip;
  const std::int64_t row_gradients = keeps_row_gradients ? 5 * spec.dim : 0;  // of an id; floats, a quarter to spare
  const std::int64_t offsets = 4 * rows * static_cast<std::int64_t>(spec.schema.fields.size());
  return kCopies * (ids * kBytesPerId + rows * kBytesPerRow + offsets) + (kSortedBytes + row_gradients) * ids;
}

}  // namespace

bool keeps_ids_resident(const Config& config, const PackedDataset& dataset, std::int64_t free_bytes) {
  if (config.resident == Resident::off) return false;
  const bool must = config.resident == Resident::on;
  if (!must && config.epochs < 2) return false;  // each id is needed once
  const std::int64_t bytes = ResidentIds::bytes(dataset);
  if (ResidentIds::fits(dataset) && bytes <= free_bytes) return true;
  if (!must) return false;
  throw device_error(
      "--resident on: the dataset's ids take {:.1f} GB of GPU memory and {:.1f} GB are left for them{}. "
      "Use --resident auto or off, or lower --dim or --batch-size.",
      static_cast<double>(bytes) * 1e-9, static_cast<double>(std::max<std::int64_t>(0, free_bytes)) * 1e-9,
      ResidentIds::fits(dataset) ? "" : "; and they are more than 2^32");
}

bool check_memories(Backend& backend, const Config& config, const ModelSpec& spec, const PackedDataset& dataset) {
  const DataSizes data(dataset);
  const std::int64_t training = training_bytes(spec, config, data.impressions, backend.memory());
  if (backend.memory_is_host()) {
    constexpr std::int64_t kMetricBytes =
        60;  // of an impression: logits and labels, and their sorted copies at the end
    check_memory(training + loading_bytes(data, config, false) + kMetricBytes * data.impressions, "training");
    return false;
  }
  constexpr std::int64_t kMetricBytes = 10 + 24;  // of an impression: logits and labels, and their ranking
  const std::int64_t device = training + batch_bytes(data, config, spec) + kMetricBytes * data.impressions;
  check_device_memory(config.device, device, "training");
  const bool resident = keeps_ids_resident(config, dataset, free_device_memory(config.device) - device);
  check_memory(loading_bytes(data, config, resident), "loading");
  spdlog::info("data: {}", resident ? fmt::format("ids are kept on the device ({:.2f} GB)",
                                                  static_cast<double>(ResidentIds::bytes(dataset)) * 1e-9)
                                    : "batches are streamed to the device");
  return resident;
}

}  // namespace esmm
