#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <optional>
#include <vector>

#include "engine/resident_ids.hpp"
#include "io/loader.hpp"
#include "kernels/backend.hpp"

namespace esmm {

/// What Backend::replay must know of a batch.
[[nodiscard]] ReplayKey replay_key(const BatchView& batch);

/// The next of 0, 16, 18, 20, …, 32, 36, …, 64, 72, …: at most 1/8 more than `size` (from 16 on), and always even.
[[nodiscard]] std::int64_t padded_size(std::int64_t size);

/// Brings the batches of a loader into a backend's memory. Where that is the host's they are the loader's own. Else
/// each is padded so that few ReplayKeys occur, uploaded while the step before it runs, and copied to its final place:
///
///     host batch k+1 ─ Queue::copy ─▶ slot (k+1) % 3          while the work of batch k runs
///                                     slot k % 3 ─ Queue::work ─▶ place ─▶ the step on batch k
///
/// Of a dataset whose ids are resident only the rest of a batch takes this way; its ids are gathered into the place.
///
/// The place of a batch depends on its ReplayKey alone, so that what was recorded for a key stays valid; the slots are
/// free again as soon as they are copied. Rows are padded to the batch size, common rows and ids to `padded_size`. An
/// odd number of ids says that they have weights: only whole batches differ in that, and shapes must tell.
///
/// Memory: three slots with room for a quarter more than the first batch; they grow when a batch needs it, which stops
/// once the largest has been seen. Places never move: a batch that fits into none gets a new one of at least twice the
/// size of the last.
class BatchFeed {
 public:
  /// What a loader for a feed needs: page-locked memory, and batches that outlive their upload.
  [[nodiscard]] static LoaderOptions loader_options(Backend& backend, LoaderOptions options);

  /// `loader` must have been made with `loader_options` and outlive the feed; only the feed may use it. `resident`:
  /// where the ids of the loader's blocks were moved to (outlives the feed too), or null.
  BatchFeed(Backend& backend, Loader& loader, const ResidentIds* resident = nullptr);
  ~BatchFeed();
  BatchFeed(const BatchFeed&) = delete;
  BatchFeed& operator=(const BatchFeed&) = delete;

  /// As Loader::start.
  void start(std::int64_t epoch, std::int64_t first_batch = 0);
  /// The next batch in the backend's memory, for work enqueued before the following call; null at the end of the epoch.
  /// Enqueues only; blocks where the loader is not ready, or where the device is more than two batches behind.
  [[nodiscard]] const BatchView* next();
  /// The same batch on the host.
  [[nodiscard]] const HostBatch& host() const { return *current_; }

 private:
  static constexpr std::size_t kSlots = 3;

  /// Sizes of a batch in the backend's memory.
  struct Shape {
    std::int64_t rows = 0, common_rows = 0, sample_ids = 0, common_ids = 0;
    std::int64_t sample_fields = 0, common_fields = 0, dense_columns = 0;
    bool sample_weighted = false, common_weighted = false, resident = false;
  };
  struct Arrays;
  struct Slot {
    Buffer<std::byte> memory;
    std::pmr::vector<std::uint32_t> padding;  // on the host, being uploaded
    std::unique_ptr<Fence> uploaded, used;    // on Queue::copy; on Queue::work
  };
  struct Uploaded {
    const HostBatch* host = nullptr;
    Shape shape;
    Slot* slot = nullptr;
  };

  [[nodiscard]] Shape shape_of(const HostBatch& batch) const;
  [[nodiscard]] std::optional<Uploaded> upload_next();
  void make_room(Slot& slot, std::size_t bytes);
  void upload(const HostBatch& batch, const Arrays& to, Slot& slot);
  void gather(const Arrays& batch);
  [[nodiscard]] std::byte* place(std::size_t bytes);

  Backend& backend_;
  Loader& loader_;
  const ResidentIds* resident_;
  std::vector<Slot> slots_;  // none where the batches are the loader's own
  std::size_t next_slot_ = 0;
  std::vector<Buffer<std::byte>> places_;  // ascending sizes
  std::optional<Uploaded> ahead_;
  bool started_ = false;  // the first batch of the epoch has been asked for
  const HostBatch* current_ = nullptr;
  BatchView view_;
};

}  // namespace esmm
