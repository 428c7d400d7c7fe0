#pragma once
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <vector>

#include "io/packed.hpp"
#include "kernels/batch.hpp"

namespace esmm {

enum class Pooling { weighted_sum, sum, mean, sqrtn };  // Σ v·e · Σ e · Σ e / n · Σ e / √n
enum class ValueTransform { raw, log1p, clipped };      // v · sign(v)·log(1+|v|) · clamp(v, -clip, clip)

/// How the loader turns stored bags into the model's bags. Pooling and value transforms are folded into the weights, so
/// the kernels know only weighted sums.
struct FieldInput {
  std::uint32_t first_row = 0;  // of the field's table in the arena
  Pooling pooling = Pooling::weighted_sum;
  ValueTransform transform = ValueTransform::raw;
  float clip = 1.0F;
};
struct DenseInput {
  float mean = 0.0F;
  float inverse_std = 1.0F;  // 0 for a constant column; a missing value becomes the mean, i.e. 0
};
struct ModelInputs {
  std::vector<FieldInput> fields;  // as Schema::fields
  std::vector<DenseInput> dense;   // as Schema::dense
};

enum class Order {
  sequential,     // as stored: fastest, for evaluation and prediction
  by_common_row,  // shuffled, impressions of one common row stay together
  by_impression,  // shuffled one by one
};

struct LoaderOptions {
  std::int64_t batch_size = 5000;
  Order order = Order::by_common_row;
  std::uint64_t seed = 1;
  int workers = 1;                          // decoding and assembling threads
  int batches_ahead = 4;                    // batches assembled before they are asked for
  int held = 1;                             // batches that stay valid: the newest, and held - 1 before it
  std::uint64_t window_bytes = 1ULL << 30;  // decoded blocks that are shuffled together; also kept between epochs
                                            // when the whole dataset fits
  bool with_input_index = false;            // evaluation and prediction
  bool with_sample_ids = false;             // prediction
  std::pmr::memory_resource* memory = std::pmr::new_delete_resource();  // of the batches; workers allocate from it
};

/// One assembled batch on the host; memory is reused from batch to batch. Where the blocks' ids were moved elsewhere
/// (BagColumns::moved_to) the batch has, instead of rows and weights, each row's place there.
struct HostBatch {
  /// `memory` holds what a device needs of the batch.
  explicit HostBatch(std::pmr::memory_resource* memory = std::pmr::new_delete_resource())
      : sample_offsets(memory),
        sample_rows(memory),
        sample_places(memory),
        common_offsets(memory),
        common_rows(memory),
        common_places(memory),
        common_begin(memory),
        sample_weights(memory),
        common_weights(memory),
        dense(memory),
        click(memory),
        conversion(memory) {}

  std::pmr::vector<std::uint32_t> sample_offsets, sample_rows, sample_places, common_offsets, common_rows,
      common_places, common_begin;
  std::pmr::vector<float> sample_weights, common_weights, dense;
  std::pmr::vector<std::uint8_t> click, conversion;
  std::vector<std::uint64_t> input_index;
  StringColumn sample_id;
  std::int64_t sample_fields = 0, common_fields = 0, dense_columns = 0;
  [[nodiscard]] BatchView view() const;
  [[nodiscard]] std::int64_t impressions() const { return static_cast<std::int64_t>(click.size()); }
};

/// Fills a ring of batches ahead of its one consumer. The sequence of batches depends on the dataset, the options'
/// order, seed, batch size and window, and the epoch; never on the number of workers or on timing.
/// Memory: the ring (batches_ahead + held batches) and two windows, or the whole dataset decoded where it fits into
/// one. A window holds at most window_bytes (estimated), but at least one block and one batch. A batch never spans
/// epochs; the last batch of an epoch is smaller. A common row whose impressions do not fit into one batch is continued
/// in the next.
class Loader {
 public:
  /// `decoded`: all of the dataset's blocks with the inputs applied, where they are decoded already (else none).
  Loader(std::shared_ptr<const PackedDataset> dataset, ModelInputs inputs, const LoaderOptions& options,
         std::vector<std::unique_ptr<Block>> decoded = {});
  ~Loader();

  /// Batches of one epoch (the same for every epoch and order).
  [[nodiscard]] std::int64_t batches_per_epoch() const;
  /// Impressions of every batch but an epoch's last: the option, or the whole dataset where that is smaller.
  [[nodiscard]] std::int64_t batch_size() const;
  /// Starts epoch `epoch` (from 0) at batch `first_batch`: position is (epoch, batch), nothing else need be saved.
  void start(std::int64_t epoch, std::int64_t first_batch = 0);
  /// The next batch, valid for `held` calls: until the following one by default; null at the end of the epoch.
  /// Rethrows a worker's Error.
  [[nodiscard]] const HostBatch* next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace esmm
