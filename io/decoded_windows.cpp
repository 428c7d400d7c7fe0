#include "io/decoded_windows.hpp"

#include <algorithm>

#include "kernels/error.hpp"

namespace esmm {
namespace {

/// In sequential order the batches do not depend on the windows, so small ones deliver the first batch sooner.
constexpr std::uint64_t sequential_window_bytes = 16ULL << 20;

/// Bytes of the decoded block. Values are counted whether stored or not: weights may take their place.
std::uint64_t decoded_bytes(const BlockShape& shape, const Schema& schema, const LoaderOptions& options) {
  const auto sample_fields = static_cast<std::uint64_t>(schema.count(Side::sample));
  const auto common_fields = static_cast<std::uint64_t>(schema.count(Side::common));
  const std::uint64_t per_id = sizeof(std::uint32_t) + sizeof(float);
  const std::uint64_t per_impression =
      sample_fields * 4 + schema.dense.size() * 4 + 2 + sizeof(std::uint64_t) + (options.with_sample_ids ? 24 : 0);
  const std::uint64_t per_common_row = common_fields * 4 + sizeof(std::uint32_t);
  return (shape.sample_ids + shape.common_ids) * per_id + shape.impressions * per_impression +
         shape.common_rows * per_common_row;
}

}  // namespace

DecodedWindows::DecodedWindows(std::shared_ptr<const PackedDataset> dataset, ModelInputs inputs,
                               const LoaderOptions& options, std::vector<std::unique_ptr<Block>> decoded)
    : dataset_(std::move(dataset)), inputs_(std::move(inputs)), options_(options), kept_(std::move(decoded)) {
  if (!kept_.empty() && kept_.size() != dataset_->block_count()) {
    throw internal_error("loader: {} decoded blocks of a dataset of {}", kept_.size(), dataset_->block_count());
  }
  std::uint64_t bytes = 0;
  for (std::size_t block = 0; block < dataset_->block_count(); ++block) {
    const BlockShape& shape = dataset_->shape(block);
    sizes_.push_back({shape.impressions, decoded_bytes(shape, dataset_->schema(), options_)});
    impressions_ += shape.impressions;
    bytes += sizes_.back().bytes;
  }
  options_.batch_size = std::clamp<std::int64_t>(static_cast<std::int64_t>(impressions_), 1, options_.batch_size);
  keep_ = !kept_.empty() || bytes <= options_.window_bytes;
  mean_block_bytes_ = sizes_.empty() ? 0 : bytes / sizes_.size();
  if (options_.order == Order::sequential)
    options_.window_bytes = std::min(options_.window_bytes, sequential_window_bytes);
  kept_.resize(sizes_.size());
}

// ---- Places --------------------------------------------------------------------------------------------------------

std::int64_t DecodedWindows::batches_per_epoch() const {
  const auto batch_size = static_cast<std::uint64_t>(options_.batch_size);
  return static_cast<std::int64_t>((impressions_ + batch_size - 1) / batch_size);
}

std::uint64_t DecodedWindows::first_impression(std::int64_t batch) const {
  return std::min(impressions_, static_cast<std::uint64_t>(batch) * static_cast<std::uint64_t>(options_.batch_size));
}

std::size_t DecodedWindows::window_of(std::uint64_t impression) const {
  const auto after = std::upper_bound(windows_.begin(), windows_.end(), impression,
                                      [](std::uint64_t i, const Window& window) { return i < window.end(); });
  return static_cast<std::size_t>(after - windows_.begin());
}

std::pair<std::size_t, std::size_t> DecodedWindows::windows_of_batch(std::int64_t batch) const {
  return {window_of(first_impression(batch)), window_of(first_impression(batch + 1) - 1)};
}

// ---- From blocks to ordered units ----------------------------------------------------------------------------------

void DecodedWindows::start(std::uint64_t epoch, std::int64_t first_batch) {
  for (LoadedWindow& window : loaded_) release(window);
  epoch_ = epoch;
  windows_ = plan_epoch(sizes_, options_, epoch);
  oldest_ = decode_window_ = window_of(first_impression(first_batch));
  decode_position_ = 0;
}

std::optional<DecodedWindows::Job> DecodedWindows::take_job(std::int64_t next_batch) {
  if (decode_window_ == windows_.size() || decode_window_ >= oldest_ + loaded_.size()) return std::nullopt;
  LoadedWindow& window = loaded(decode_window_);
  const Window& plan = windows_[decode_window_];
  if (decode_position_ == 0) {
    window.number = decode_window_;
    window.blocks.resize(plan.blocks.size());
    const std::int64_t first_batch = static_cast<std::int64_t>(plan.first_impression) / options_.batch_size;
    const std::int64_t end_batch =
        (static_cast<std::int64_t>(plan.end()) + options_.batch_size - 1) / options_.batch_size;
    window.batches_left = end_batch - std::max(first_batch, next_batch);
  }
  Job job{.window = decode_window_, .position = decode_position_++};
  job.block = std::move(kept_[plan.blocks[job.position]]);
  job.decoded = job.block != nullptr;
  if (!job.decoded && !spare_.empty()) {
    job.block = std::move(spare_.back());
    spare_.pop_back();
  }
  if (decode_position_ == plan.blocks.size()) {
    ++decode_window_;
    decode_position_ = 0;
  }
  return job;
}

void DecodedWindows::decode(Job& job) const {
  if (job.decoded) return;
  try {
    if (!job.block) job.block = std::make_unique<Block>();
    dataset_->decode(windows_[job.window].blocks[job.position], *job.block, options_.with_sample_ids);
    apply_inputs(*job.block, inputs_);
  } catch (...) {
    job.error = std::current_exception();
  }
}

bool DecodedWindows::finish(Job& job) {
  LoadedWindow& window = loaded(job.window);
  if (!job.error) {
    window.blocks[job.position] = std::move(job.block);
  } else if (!window.error || job.position < window.error_position) {
    window.error = job.error;
    window.error_position = job.position;
  }
  return ++window.blocks_done == window.blocks.size();
}

void DecodedWindows::order_units(std::size_t number) {
  LoadedWindow& window = loaded(number);
  if (window.error) return;
  try {
    window.sequence.order_units(window.blocks, options_.order, {options_.seed, epoch_, number});
  } catch (...) {
    window.error = std::current_exception();
  }
}

// ---- From ordered units to batches ---------------------------------------------------------------------------------

bool DecodedWindows::holds(std::int64_t batch) const {
  const auto [first, last] = windows_of_batch(batch);
  for (std::size_t number = first; number <= last; ++number) {
    const LoadedWindow& window = loaded(number);
    if (!window.ready || window.number != number) return false;
  }
  return true;
}

void DecodedWindows::cut(std::int64_t batch, std::vector<Unit>& units, std::vector<Piece>& pieces) const {
  pieces.clear();
  const auto [first, last] = windows_of_batch(batch);
  for (std::size_t number = first; number <= last; ++number) {
    const LoadedWindow& window = loaded(number);
    if (window.error) std::rethrow_exception(window.error);
    const Window& plan = windows_[number];
    const std::uint64_t begin = std::max(first_impression(batch), plan.first_impression) - plan.first_impression;
    const std::uint64_t end = std::min(first_impression(batch + 1), plan.end()) - plan.first_impression;
    window.sequence.cut(begin, end, units, pieces);
  }
}

bool DecodedWindows::finish_batch(std::int64_t batch) {
  const auto [first, last] = windows_of_batch(batch);
  for (std::size_t number = first; number <= last; ++number) --loaded(number).batches_left;
  const std::size_t oldest_before = oldest_;
  while (oldest_ <= last && loaded(oldest_).batches_left == 0) release(loaded(oldest_++));
  return oldest_ != oldest_before;
}

/// Memory of unusually large blocks is not reused, so that it cannot pile up.
void DecodedWindows::release(LoadedWindow& window) {
  for (std::size_t position = 0; position < window.blocks.size(); ++position) {
    std::unique_ptr<Block>& block = window.blocks[position];
    if (block == nullptr) continue;
    if (keep_) {
      kept_[windows_[window.number].blocks[position]] = std::move(block);
    } else if (block->bytes() <= 2 * mean_block_bytes_) {
      spare_.push_back(std::move(block));
    }
  }
  window.blocks.clear();
  window.sequence.clear();
  window.blocks_done = 0;
  window.batches_left = 0;
  window.ready = false;
  window.error = nullptr;
}

}  // namespace esmm
