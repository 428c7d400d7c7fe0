#include "io/loader.hpp"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "io/batch_assembly.hpp"
#include "io/decoded_windows.hpp"
#include "kernels/error.hpp"
#include "kernels/nvtx.hpp"

namespace esmm {
namespace {

/// The options, if they and the inputs make sense.
const LoaderOptions& checked(const Schema& schema, const ModelInputs& inputs, const LoaderOptions& options) {
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
  return options;
}

/// One place of the ring.
struct Slot {
  explicit Slot(std::pmr::memory_resource* memory) : batch(memory) {}
  std::int64_t batch_number = -1;  // of the epoch; -1: empty or being filled
  HostBatch batch;
  std::exception_ptr error;
};

}  // namespace

/// The ring of batches and the workers that fill it, over the windows that they decode.
struct Loader::Impl {
  Impl(std::shared_ptr<const PackedDataset> dataset, ModelInputs inputs, const LoaderOptions& options_,
       std::vector<std::unique_ptr<Block>> decoded);
  ~Impl();
  void stop();

  void start(std::int64_t epoch, std::int64_t first_batch);
  const HostBatch* next();

  void work();
  bool take_assembly_locked(std::int64_t& batch);  // with `mutex` held
  void decode(DecodedWindows::Job job);
  void assemble_batch(std::int64_t batch, std::vector<Unit>& units, std::vector<Piece>& pieces);

  Slot& slot(std::int64_t batch) { return slots[static_cast<std::size_t>(batch) % slots.size()]; }

  const LoaderOptions options;

  std::mutex mutex;  // guards everything below, except what a running job owns
  std::condition_variable work_available, progress;
  bool stopping = false;
  bool paused = true;    // no job may begin
  int running_jobs = 0;  // jobs begun and not finished

  DecodedWindows windows;
  const std::int64_t batches = windows.batches_per_epoch();

  std::vector<Slot> slots;               // batches ahead, and those that the consumer holds
  std::int64_t next_assembly = batches;  // first batch that nobody has begun; none until start()
  std::int64_t next_delivery = batches;  // first batch that next() has not given out
  std::int64_t next_release = batches;   // first batch that the consumer holds, or will be given

  std::vector<std::jthread> workers;
};

// ---- Set-up --------------------------------------------------------------------------------------------------------

Loader::Impl::Impl(std::shared_ptr<const PackedDataset> dataset, ModelInputs inputs, const LoaderOptions& options_,
                   std::vector<std::unique_ptr<Block>> decoded)
    : options(checked(dataset->schema(), inputs, options_)),
      windows(std::move(dataset), std::move(inputs), options, std::move(decoded)) {
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

void Loader::Impl::start(std::int64_t epoch, std::int64_t first_batch) {
  if (epoch < 0 || first_batch < 0 || first_batch > batches) {
    throw internal_error("loader: no batch {} in epoch {}: it has {}", first_batch, epoch, batches);
  }
  std::unique_lock lock(mutex);
  paused = true;
  progress.wait(lock, [&] { return running_jobs == 0; });
  for (Slot& each : slots) {
    each.batch_number = -1;
    each.error = nullptr;
  }
  windows.start(static_cast<std::uint64_t>(epoch), first_batch);
  next_assembly = next_delivery = next_release = first_batch;
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
    std::optional<DecodedWindows::Job> job;
    const bool assembles = take_assembly_locked(batch);
    if (!assembles && !paused) job = windows.take_job(next_assembly);
    if (!assembles && !job) {
      work_available.wait(lock);
      continue;
    }
    ++running_jobs;
    lock.unlock();
    if (assembles) {
      assemble_batch(batch, units, pieces);
    } else {
      decode(std::move(*job));
    }
    lock.lock();
    if (--running_jobs == 0 && paused) progress.notify_one();
  }
}

bool Loader::Impl::take_assembly_locked(std::int64_t& batch) {
  const bool room = next_assembly < next_release + static_cast<std::int64_t>(slots.size());
  if (paused || next_assembly == batches || !room || !windows.holds(next_assembly)) return false;
  batch = next_assembly++;
  return true;
}

void Loader::Impl::decode(DecodedWindows::Job job) {
  const NvtxRange range("loader_decode");
  windows.decode(job);
  {
    const std::lock_guard lock(mutex);
    if (!windows.finish(job)) return;
  }
  windows.order_units(job.window);  // while the others go on with the next window
  const std::lock_guard lock(mutex);
  windows.declare_ready(job.window);
  work_available.notify_all();
}

void Loader::Impl::assemble_batch(std::int64_t batch, std::vector<Unit>& units, std::vector<Piece>& pieces) {
  const NvtxRange range("loader_assemble");
  std::exception_ptr error;
  try {
    windows.cut(batch, units, pieces);
    assemble(pieces, options, slot(batch).batch);
  } catch (...) {
    error = std::current_exception();
  }
  const std::lock_guard lock(mutex);
  slot(batch).error = std::move(error);
  slot(batch).batch_number = batch;
  if (batch == next_delivery) progress.notify_one();
  if (windows.finish_batch(batch)) work_available.notify_all();
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
  return impl_->windows.batch_size();
}
void Loader::start(std::int64_t epoch, std::int64_t first_batch) {
  impl_->start(epoch, first_batch);
}
const HostBatch* Loader::next() {
  return impl_->next();
}

}  // namespace esmm
