#pragma once
#include <array>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "io/epoch_plan.hpp"
#include "io/packed.hpp"
#include "io/unit_sequence.hpp"

namespace esmm {

/// The windows of an epoch that are in memory: the oldest one that batches are still cut from, and the one behind it.
/// A window's blocks are decoded one by one, then its units are ordered, then batches are cut from it. With its last
/// batch it is released: its blocks are kept where the whole dataset fits, else their memory is used again.
/// Calls must come one at a time, but for those that are marked as concurrent.
class DecodedWindows {
 public:
  /// `batch_size` of the options must be at least 1. `decoded`: all blocks with the inputs applied, or none.
  DecodedWindows(std::shared_ptr<const PackedDataset> dataset, ModelInputs inputs, const LoaderOptions& options,
                 std::vector<std::unique_ptr<Block>> decoded);

  [[nodiscard]] std::int64_t batches_per_epoch() const;
  [[nodiscard]] std::int64_t batch_size() const { return options_.batch_size; }

  /// Releases everything and plans epoch `epoch` from batch `first_batch` on. No job may be under way.
  void start(std::uint64_t epoch, std::int64_t first_batch);

  /// One block to decode.
  struct Job {
    std::size_t window = 0;
    std::size_t position = 0;           // in Window::blocks
    std::unique_ptr<Block> block = {};  // memory to decode into, if there is any
    bool decoded = false;               // nothing left to do: it was kept
    std::exception_ptr error = {};      // why it could not be decoded
  };
  /// The next block, if there is room for its window; batches before `next_batch` are not cut any more.
  [[nodiscard]] std::optional<Job> take_job(std::int64_t next_batch);
  void decode(Job& job) const;  // concurrent
  /// Takes a job back. True for a window's last: its units must be ordered then, and it be declared ready after that.
  [[nodiscard]] bool finish(Job& job);
  void order_units(std::size_t window);  // concurrent
  void declare_ready(std::size_t window) { loaded(window).ready = true; }

  /// Whether a batch can be cut.
  [[nodiscard]] bool holds(std::int64_t batch) const;
  /// The pieces of a batch that is held, from the one or two windows that it lies in; concurrent, each thread with its
  /// own `units`. Rethrows the Error of a block that could not be decoded.
  void cut(std::int64_t batch, std::vector<Unit>& units, std::vector<Piece>& pieces) const;
  /// A batch needs its windows no more. True if that made room for another window.
  bool finish_batch(std::int64_t batch);

 private:
  struct LoadedWindow {
    std::size_t number = 0;
    std::vector<std::unique_ptr<Block>> blocks;  // as Window::blocks; null: not (yet) decoded
    UnitSequence sequence;
    std::size_t blocks_done = 0;    // decoded or failed
    std::int64_t batches_left = 0;  // that still have to be assembled from it
    bool ready = false;
    std::exception_ptr error;        // of the first block, in the window's order, that could not be decoded
    std::size_t error_position = 0;  // of that block
  };

  [[nodiscard]] std::uint64_t first_impression(std::int64_t batch) const;
  [[nodiscard]] std::size_t window_of(std::uint64_t impression) const;
  /// Windows [first, last] that a batch is cut from: one or two.
  [[nodiscard]] std::pair<std::size_t, std::size_t> windows_of_batch(std::int64_t batch) const;
  LoadedWindow& loaded(std::size_t window) { return loaded_[window % loaded_.size()]; }
  [[nodiscard]] const LoadedWindow& loaded(std::size_t window) const { return loaded_[window % loaded_.size()]; }
  void release(LoadedWindow& window);

  std::shared_ptr<const PackedDataset> dataset_;
  ModelInputs inputs_;
  LoaderOptions options_;
  std::vector<BlockSize> sizes_;
  std::uint64_t impressions_ = 0;
  std::uint64_t mean_block_bytes_ = 0;
  bool keep_ = false;  // the whole dataset fits: blocks stay decoded between epochs

  std::uint64_t epoch_ = 0;
  std::vector<Window> windows_;  // of this epoch
  std::array<LoadedWindow, 2> loaded_;
  std::size_t oldest_ = 0;  // first window that is not released
  std::size_t decode_window_ = 0, decode_position_ = 0;
  std::vector<std::unique_ptr<Block>> kept_;   // [blocks] decoded and not in a window, when `keep_`
  std::vector<std::unique_ptr<Block>> spare_;  // memory for the next decodes
};

}  // namespace esmm
