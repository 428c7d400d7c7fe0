#include "io/loader.hpp"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "io/batch_assembly.hpp"
#include "io/epoch_plan.hpp"
#include "io/unit_sequence.hpp"
#include "kernels/error.hpp"
#include "kernels/nvtx.hpp"

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

void check(const Schema& schema, const ModelInputs& inputs, const LoaderOptions& options) {
  if (inputs.fields.size() != schema.fields.size() || inputs.dense.size() != schema.dense.size()) {
    throw internal_error("loader: inputs for {} fields and {} dense columns, but the dataset has {} and {}",
                         inputs.fields.size(), inputs.dense.size(), schema.fields.size(), schema.dense.size());
  }
  if (options.batch_size < 1) throw usage_error("batch size {}: must be at least 1", options.batch_size);
  if (options.workers < 1) throw usage_error("{} loader workers: at least 1 is needed", options.workers);
  if (options.held < 1) throw internal_error("loader: {} batches held, at least 1 is needed", options.held);
  if (options.batches_ahead < 1) throw usage_error("{} batches ahead: at least 1 is needed", options.batches_ahead);
  for (const FieldInput& field : inputs.fields) {
    if (!(field.clip >= 0)) throw usage_error("clip {}: must not be negative", field.clip);
  }
}

/// A window in memory: first its blocks are decoded, then its units are ordered, then batches are cut from it.
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

/// One place of the ring.
struct Slot {
  explicit Slot(std::pmr::memory_resource* memory) : batch(memory) {}
  std::int64_t batch_number = -1;  // of the epoch; -1: empty or being filled
  HostBatch batch;
  std::exception_ptr error;
};

struct DecodeJob {
  LoadedWindow* window = nullptr;
  std::size_t position = 0;      // in Window::blocks
  std::unique_ptr<Block> block;  // memory to decode into, if there is any
  bool decoded = false;          // nothing left to do: it was kept
};

}  // namespace

struct Loader::Impl {
  Impl(std::shared_ptr<const PackedDataset> dataset_, ModelInputs inputs_, const LoaderOptions& options_,
       std::vector<std::unique_ptr<Block>> decoded);
  ~Impl();
  void stop();

  void start(std::int64_t epoch_, std::int64_t first_batch);
  const HostBatch* next();

  // Worker side. Functions named `..._locked` expect `mutex` to be held.
  void work();
  bool take_assembly_locked(std::int64_t& batch);
  bool take_decode_locked(DecodeJob& job);
  void decode(DecodeJob job);
  void assemble_batch(std::int64_t batch, std::vector<Unit>& units, std::vector<Piece>& pieces);
  void cut(std::int64_t batch, std::vector<Unit>& units, std::vector<Piece>& pieces) const;
  void finish_assembly_locked(std::int64_t batch, std::exception_ptr error);
  void release_locked(LoadedWindow& window);

  [[nodiscard]] std::uint64_t first_impression(std::int64_t batch) const {
    return std::min(impressions, static_cast<std::uint64_t>(batch) * static_cast<std::uint64_t>(options.batch_size));
  }
  [[nodiscard]] std::size_t window_of(std::uint64_t impression) const {
    const auto after = std::upper_bound(windows.begin(), windows.end(), impression,
                                        [](std::uint64_t i, const Window& window) { return i < window.end(); });
    return static_cast<std::size_t>(after - windows.begin());
  }
  /// Windows [first, last] that a batch is cut from: one or two.
  [[nodiscard]] std::pair<std::size_t, std::size_t> windows_of_batch(std::int64_t batch) const {
    return {window_of(first_impression(batch)), window_of(first_impression(batch + 1) - 1)};
  }
  LoadedWindow& loaded_window(std::size_t window) { return loaded[window % loaded.size()]; }
  const LoadedWindow& loaded_window(std::size_t window) const { return loaded[window % loaded.size()]; }
  Slot& slot(std::int64_t batch) { return slots[static_cast<std::size_t>(batch) % slots.size()]; }

  const std::shared_ptr<const PackedDataset> dataset;
  const ModelInputs inputs;
  LoaderOptions options;
  std::vector<BlockSize> sizes;
  std::uint64_t impressions = 0;
  std::int64_t batches = 0;  // per epoch
  bool keep = false;         // the whole dataset fits: blocks stay decoded between epochs
  std::uint64_t mean_block_bytes = 0;

  std::mutex mutex;  // guards everything below, except what a running job owns
  std::condition_variable work_available, progress;
  bool stopping = false;
  bool paused = true;    // no job may begin
  int running_jobs = 0;  // jobs begun and not finished

  std::uint64_t epoch = 0;
  std::vector<Window> windows;  // of this epoch; constant while not paused
  std::array<LoadedWindow, 2> loaded;
  std::size_t oldest_window = 0;  // first one that is not released
  std::size_t decode_window = 0, decode_position = 0;
  std::vector<std::unique_ptr<Block>> kept;   // [blocks] decoded and not in a window, when `keep`
  std::vector<std::unique_ptr<Block>> spare;  // memory for the next decodes

  std::vector<Slot> slots;         // batches ahead, and those that the consumer holds
  std::int64_t next_assembly = 0;  // first batch that nobody has begun
  std::int64_t next_delivery = 0;  // first batch that next() has not given out
  std::int64_t next_release = 0;   // first batch that the consumer holds, or will be given

  std::vector<std::jthread> workers;
};

// ---- Set-up --------------------------------------------------------------------------------------------------------

Loader::Impl::Impl(std::shared_ptr<const PackedDataset> dataset_, ModelInputs inputs_, const LoaderOptions& options_,
                   std::vector<std::unique_ptr<Block>> decoded)
    : dataset(std::move(dataset_)), inputs(std::move(inputs_)), options(options_), kept(std::move(decoded)) {
  check(dataset->schema(), inputs, options);
  if (!kept.empty() && kept.size() != dataset->block_count()) {
    throw internal_error("loader: {} decoded blocks of a dataset of {}", kept.size(), dataset->block_count());
  }
  std::uint64_t bytes = 0;
  for (std::size_t block = 0; block < dataset->block_count(); ++block) {
    const BlockShape& shape = dataset->shape(block);
    sizes.push_back({shape.impressions, decoded_bytes(shape, dataset->schema(), options)});
    impressions += shape.impressions;
    bytes += sizes.back().bytes;
  }
  options.batch_size = std::clamp<std::int64_t>(static_cast<std::int64_t>(impressions), 1, options.batch_size);
  const auto batch_size = static_cast<std::uint64_t>(options.batch_size);
  batches = static_cast<std::int64_t>((impressions + batch_size - 1) / batch_size);
  next_release = next_delivery = next_assembly = batches;  // until start()
  keep = !kept.empty() || bytes <= options.window_bytes;
  mean_block_bytes = sizes.empty() ? 0 : bytes / sizes.size();
  if (options.order == Order::sequential)
    options.window_bytes = std::min(options.window_bytes, sequential_window_bytes);
  kept.resize(sizes.size());
  for (int i = 0; i < options.batches_ahead + options.held; ++i) slots.emplace_back(options.memory);
  workers.reserve(static_cast<std::size_t>(options.workers));
  try {
    for (int i = 0; i < options.workers; ++i) workers.emplace_back([this] { work(); });
  } catch (const std::system_error& error) {
    stop();  // or the threads that did start would be waited for without end
    throw device_error("loader: {} threads cannot be started ({}).", options.workers, error.what());
  }
}

Loader::Impl::~Impl() {
  stop();
}

void Loader::Impl::stop() {
  const std::lock_guard lock(mutex);
  stopping = true;
  work_available.notify_all();
}

void Loader::Impl::start(std::int64_t epoch_, std::int64_t first_batch) {
  if (epoch_ < 0 || first_batch < 0 || first_batch > batches) {
    throw internal_error("loader: no batch {} in epoch {}: it has {}", first_batch, epoch_, batches);
  }
  std::unique_lock lock(mutex);
  paused = true;
  progress.wait(lock, [&] { return running_jobs == 0; });
  for (LoadedWindow& window : loaded) release_locked(window);
  for (Slot& each : slots) {
    each.batch_number = -1;
    each.error = nullptr;
  }
  epoch = static_cast<std::uint64_t>(epoch_);
  windows = plan_epoch(sizes, options, epoch);
  next_assembly = next_delivery = next_release = first_batch;
  oldest_window = decode_window = window_of(first_impression(first_batch));
  decode_position = 0;
  paused = first_batch == batches;
  work_available.notify_all();
}

const HostBatch* Loader::Impl::next() {
  std::unique_lock lock(mutex);
  if (next_delivery - next_release == options.held) {
    ++next_release;
    work_available.notify_one();
  }
  if (next_delivery == batches) return nullptr;
  Slot& ready = slot(next_delivery);
  {
    const NvtxRange range("loader_wait");
    progress.wait(lock, [&] { return ready.batch_number == next_delivery; });
  }
  if (ready.error) std::rethrow_exception(ready.error);
  ++next_delivery;
  return &ready.batch;
}

// ---- Workers -------------------------------------------------------------------------------------------------------

void Loader::Impl::work() {
  std::vector<Unit> units;
  std::vector<Piece> pieces;
  std::unique_lock lock(mutex);
  while (!stopping) {
    std::int64_t batch = 0;
    DecodeJob job;
    const bool assembles = take_assembly_locked(batch);
    if (!assembles && !take_decode_locked(job)) {
      work_available.wait(lock);
      continue;
    }
    ++running_jobs;
    lock.unlock();
    if (assembles) {
      assemble_batch(batch, units, pieces);
    } else {
      decode(std::move(job));
    }
    lock.lock();
    if (--running_jobs == 0 && paused) progress.notify_one();
  }
}

bool Loader::Impl::take_assembly_locked(std::int64_t& batch) {
  const bool room = next_assembly < next_release + static_cast<std::int64_t>(slots.size());
  if (paused || next_assembly == batches || !room) return false;
  const auto [first, last] = windows_of_batch(next_assembly);
  for (std::size_t number = first; number <= last; ++number) {
    const LoadedWindow& window = loaded_window(number);
    if (!window.ready || window.number != number) return false;
  }
  batch = next_assembly++;
  return true;
}

bool Loader::Impl::take_decode_locked(DecodeJob& job) {
  if (paused || decode_window == windows.size() || decode_window >= oldest_window + loaded.size()) return false;
  LoadedWindow& window = loaded_window(decode_window);
  const Window& plan = windows[decode_window];
  if (decode_position == 0) {
    window.number = decode_window;
    window.blocks.resize(plan.blocks.size());
    const std::int64_t first_batch = static_cast<std::int64_t>(plan.first_impression) / options.batch_size;
    const std::int64_t end_batch =
        (static_cast<std::int64_t>(plan.end()) + options.batch_size - 1) / options.batch_size;
    window.batches_left = end_batch - std::max(first_batch, next_assembly);
  }
  job.window = &window;
  job.position = decode_position++;
  job.block = std::move(kept[plan.blocks[job.position]]);
  job.decoded = job.block != nullptr;
  if (!job.decoded && !spare.empty()) {
    job.block = std::move(spare.back());
    spare.pop_back();
  }
  if (decode_position == plan.blocks.size()) {
    ++decode_window;
    decode_position = 0;
  }
  return true;
}

void Loader::Impl::decode(DecodeJob job) {
  const NvtxRange range("loader_decode");
  LoadedWindow& window = *job.window;
  std::exception_ptr error;
  if (!job.decoded) try {
      if (!job.block) job.block = std::make_unique<Block>();
      dataset->decode(windows[window.number].blocks[job.position], *job.block, options.with_sample_ids);
      apply_inputs(*job.block, inputs);
    } catch (...) {
      error = std::current_exception();
    }
  {
    const std::lock_guard lock(mutex);
    if (!error) {
      window.blocks[job.position] = std::move(job.block);
    } else if (!window.error || job.position < window.error_position) {
      window.error = error;
      window.error_position = job.position;
    }
    if (++window.blocks_done < window.blocks.size()) return;
  }
  // The last one orders the units, while the others go on with the next window.
  if (!window.error) try {
      window.sequence.order_units(window.blocks, options.order, {options.seed, epoch, window.number});
    } catch (...) {
      window.error = std::current_exception();
    }
  const std::lock_guard lock(mutex);
  window.ready = true;
  work_available.notify_all();
}

void Loader::Impl::assemble_batch(std::int64_t batch, std::vector<Unit>& units, std::vector<Piece>& pieces) {
  const NvtxRange range("loader_assemble");
  std::exception_ptr error;
  try {
    cut(batch, units, pieces);
    assemble(pieces, options, slot(batch).batch);
  } catch (...) {
    error = std::current_exception();
  }
  const std::lock_guard lock(mutex);
  finish_assembly_locked(batch, error);
}

/// The pieces of a batch, from the one or two windows that it lies in.
void Loader::Impl::cut(std::int64_t batch, std::vector<Unit>& units, std::vector<Piece>& pieces) const {
  pieces.clear();
  const auto [first, last] = windows_of_batch(batch);
  for (std::size_t number = first; number <= last; ++number) {
    const LoadedWindow& window = loaded_window(number);
    if (window.error) std::rethrow_exception(window.error);
    const Window& plan = windows[number];
    const std::uint64_t begin = std::max(first_impression(batch), plan.first_impression) - plan.first_impression;
    const std::uint64_t end = std::min(first_impression(batch + 1), plan.end()) - plan.first_impression;
    window.sequence.cut(begin, end, units, pieces);
  }
}

void Loader::Impl::finish_assembly_locked(std::int64_t batch, std::exception_ptr error) {
  slot(batch).error = std::move(error);
  slot(batch).batch_number = batch;
  if (batch == next_delivery) progress.notify_one();

  const auto [first, last] = windows_of_batch(batch);
  for (std::size_t number = first; number <= last; ++number) --loaded_window(number).batches_left;
  const std::size_t oldest_before = oldest_window;
  while (oldest_window <= last && loaded_window(oldest_window).batches_left == 0) {
    release_locked(loaded_window(oldest_window++));
  }
  if (oldest_window != oldest_before) work_available.notify_all();
}

/// Gives the window's blocks back. Memory of unusually large blocks is not reused, so that it cannot pile up.
void Loader::Impl::release_locked(LoadedWindow& window) {
  for (std::size_t position = 0; position < window.blocks.size(); ++position) {
    std::unique_ptr<Block>& block = window.blocks[position];
    if (block == nullptr) continue;
    if (keep) {
      kept[windows[window.number].blocks[position]] = std::move(block);
    } else if (block->bytes() <= 2 * mean_block_bytes) {
      spare.push_back(std::move(block));
    }
  }
  window.blocks.clear();
  window.sequence.clear();
  window.blocks_done = 0;
  window.batches_left = 0;
  window.ready = false;
  window.error = nullptr;
}

// ---- Loader --------------------------------------------------------------------------------------------------------

Loader::Loader(std::shared_ptr<const PackedDataset> dataset, ModelInputs inputs, const LoaderOptions& options,
               std::vector<std::unique_ptr<Block>> decoded)
    : impl_(std::make_unique<Impl>(std::move(dataset), std::move(inputs), options, std::move(decoded))) {}
Loader::~Loader() = default;

std::int64_t Loader::batches_per_epoch() const {
  return impl_->batches;
}
std::int64_t Loader::batch_size() const {
  return impl_->options.batch_size;
}
void Loader::start(std::int64_t epoch, std::int64_t first_batch) {
  impl_->start(epoch, first_batch);
}
const HostBatch* Loader::next() {
  return impl_->next();
}

}  // namespace esmm
