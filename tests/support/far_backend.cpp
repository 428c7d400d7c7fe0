#include "tests/support/far_backend.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace esmm::test {

// ---- Memory --------------------------------------------------------------------------------------------------------

namespace {

constexpr std::size_t kReserved = std::size_t{8} << 30U;  // addresses; pages come when they are touched
constexpr std::size_t kPage = 4096;

std::size_t rounded_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

FarMemory::FarMemory() {
  void* region = mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) throw std::bad_alloc();
  base_ = static_cast<std::byte*>(region);
}

FarMemory::~FarMemory() {
  munmap(base_, kReserved);
}

void* FarMemory::allocate(std::size_t bytes) {
  std::byte* const result = base_ + used_;
  used_ += rounded_up(std::max<std::size_t>(bytes, 1), 64);
  if (used_ > kReserved) throw std::bad_alloc();
  if (open_ > 0) mprotect(base_, rounded_up(used_, kPage), PROT_READ | PROT_WRITE);
  return result;
}

void FarMemory::copy_from_host(void* to, const void* from, std::size_t bytes) {
  const Open open(*this);
  std::memcpy(to, from, bytes);
}

void FarMemory::copy_to_host(void* to, const void* from, std::size_t bytes) const {
  const Open open(*this);
  std::memcpy(to, from, bytes);
}

void FarMemory::zero(void* to, std::size_t bytes) {
  if (on_zero) on_zero(to, bytes);
  const Open open(*this);
  std::memset(to, 0, bytes);
}

FarMemory::Open::Open(const FarMemory& memory) : memory_(memory) {
  if (memory_.open_++ == 0) mprotect(memory_.base_, rounded_up(memory_.used_, kPage), PROT_READ | PROT_WRITE);
}

FarMemory::Open::~Open() {
  if (--memory_.open_ == 0) mprotect(memory_.base_, rounded_up(memory_.used_, kPage), PROT_NONE);
}

bool TrackedResource::holds(const void* begin, std::size_t bytes) const {
  const std::lock_guard lock(mutex_);
  const auto* first = static_cast<const std::byte*>(begin);
  auto after = blocks_.upper_bound(first);
  if (after == blocks_.begin()) return false;
  const auto& [block, size] = *--after;
  return first + bytes <= block + size;
}

void* TrackedResource::do_allocate(std::size_t bytes, std::size_t alignment) {
  void* const pointer = std::pmr::new_delete_resource()->allocate(bytes, alignment);
  const std::lock_guard lock(mutex_);
  blocks_[static_cast<const std::byte*>(pointer)] = bytes;
  return pointer;
}

void TrackedResource::do_deallocate(void* pointer, std::size_t bytes, std::size_t alignment) {
  {
    const std::lock_guard lock(mutex_);
    blocks_.erase(static_cast<const std::byte*>(pointer));
  }
  std::pmr::new_delete_resource()->deallocate(pointer, bytes, alignment);
}

// ---- Queues --------------------------------------------------------------------------------------------------------

namespace {

std::size_t index(Queue queue) {
  return queue == Queue::work ? 0 : 1;
}

}  // namespace

FarBackend::FarBackend(int threads) : CpuBackend(threads, Precision::fp32) {
  far_.on_zero = [this](const void* begin, std::size_t bytes) {  // in order with the work
    ++enqueued_[0];
    expect_ordered(Queue::work, begin, bytes, "zeroing memory that is being uploaded to");
  };
}

struct FarBackend::FarFence final : Fence {
  explicit FarFence(FarBackend& backend_) : backend(backend_) {}
  void wait() override {
    if (queue == Queue::copy) backend.confirm_uploads(position);
  }
  FarBackend& backend;
  Queue queue = Queue::work;
  std::uint64_t position = 0;  // 0: nothing was enqueued, or never recorded
};

std::unique_ptr<Fence> FarBackend::make_fence() {
  return std::make_unique<FarFence>(*this);
}

void FarBackend::record(Queue queue, Fence& fence) {
  auto& far = static_cast<FarFence&>(fence);
  far.queue = queue;
  far.position = enqueued_[index(queue)];
}

void FarBackend::wait(Queue queue, Fence& fence) {
  const auto& far = static_cast<FarFence&>(fence);
  if (far.queue == queue) return;
  knows_[index(queue)] = std::max(knows_[index(queue)], far.position);
  if (queue == Queue::work) run_uploads(far.position);
}

/// The other queue's accesses to the range must be among those that this one has waited for; then notes this access.
void FarBackend::expect_ordered(Queue queue, const void* begin, std::size_t bytes, const char* what) {
  const auto* first = static_cast<const std::byte*>(begin);
  const std::size_t mine = index(queue), other = 1 - mine;
  for (const Access& access : touched_[other]) {
    if (access.end <= first || first + bytes <= access.begin) continue;
    EXPECT_LE(access.position, knows_[mine]) << what << " without a wait for the other queue";
  }
  std::vector<Access>& accesses = touched_[mine];
  std::erase_if(accesses, [&](const Access& a) { return first <= a.begin && a.end <= first + bytes; });
  accesses.push_back({first, first + bytes, enqueued_[mine]});
}

void FarBackend::copy(void* to, const void* from, std::size_t bytes) {
  note(to, from, bytes);
  ++enqueued_[0];
  expect_ordered(Queue::work, from, bytes, "a copy of what was uploaded");
  const FarMemory::Open open(far_);
  CpuBackend::copy(to, from, bytes);
}

void FarBackend::upload(void* to, const void* from, std::size_t bytes) {
  EXPECT_TRUE(host_memory_.holds(from, bytes)) << "an upload from other memory than host_memory()";
  ++enqueued_[1];
  expect_ordered(Queue::copy, to, bytes, "an upload");
  uploads_.push_back(
      {static_cast<std::byte*>(to), static_cast<const std::byte*>(from), bytes, XXH3_64bits(from, bytes)});
}

void FarBackend::run_uploads(std::uint64_t end) {
  const FarMemory::Open open(far_);
  for (; uploads_run_ < end; ++uploads_run_) {
    const Upload& next = uploads_[static_cast<std::size_t>(uploads_run_ - uploads_confirmed_)];
    std::memcpy(next.to, next.from, next.bytes);
  }
}

void FarBackend::confirm_uploads(std::uint64_t end) {
  run_uploads(end);
  for (; uploads_confirmed_ < end; ++uploads_confirmed_) {
    const Upload& next = uploads_.front();
    EXPECT_EQ(XXH3_64bits(next.from, next.bytes), next.content) << "the source of an upload changed under it";
    uploads_.pop_front();
  }
}

// ---- Replay --------------------------------------------------------------------------------------------------------

namespace {

void add(std::vector<std::uint64_t>& calls, const void* pointer) {
  calls.push_back(reinterpret_cast<std::uintptr_t>(pointer));
}
void add(std::vector<std::uint64_t>& calls, std::uint64_t number) {
  calls.push_back(number);
}
template <class T>
void add(std::vector<std::uint64_t>& calls, std::span<T> values) {
  add(calls, values.data());
  calls.push_back(values.size());
}
template <class T>
void add(std::vector<std::uint64_t>& calls, MatrixView<T> view) {
  add(calls, view.data);
  for (const std::int64_t number : {view.rows, view.cols, view.stride})
    calls.push_back(static_cast<std::uint64_t>(number));
}
void add(std::vector<std::uint64_t>& calls, const Bags& bags) {
  add(calls, bags.offsets);
  add(calls, bags.rows);
  add(calls, bags.weights);
}
void add(std::vector<std::uint64_t>& calls, const TowerInputs& inputs) {
  add(calls, inputs.common);
  add(calls, inputs.sample);
  add(calls, inputs.common_begin);
}

}  // namespace

/// Notes the memory and shapes of a call while a replay goes on.
template <class... Values>
void FarBackend::note(const Values&... values) {
  if (calls_ != nullptr) (add(*calls_, values), ...);
}

void FarBackend::replay(const ReplayKey& key, void (*enqueue)(void*), void* context) {
  std::vector<std::uint64_t> calls;
  calls_ = &calls;
  enqueue(context);
  calls_ = nullptr;
  ++replays_;
  const auto found = std::find_if(recorded_.begin(), recorded_.end(), [&](const auto& r) { return r.first == key; });
  if (found == recorded_.end()) {
    recorded_.emplace_back(key, std::move(calls));
  } else {
    EXPECT_EQ(calls, found->second) << "a replay with the key of " << key.impressions << " rows, " << key.common_rows
                                    << " common rows, " << key.sample_ids << " and " << key.common_ids << " ids";
  }
}

// ---- Operations ----------------------------------------------------------------------------------------------------

/// Without what lies after the last offset.
Bags FarBackend::trimmed(Bags bags) const {
  const std::uint32_t ids = bags.offsets.empty() ? 0 : bags.offsets.back();
  bags.rows = bags.rows.first(ids);
  if (!bags.weights.empty()) bags.weights = bags.weights.first(ids);
  return bags;
}

/// Without the padded rows, and without the common rows at the end that have no impressions.
TowerInputs FarBackend::trimmed(TowerInputs inputs) const {
  std::size_t groups = inputs.common_begin.size() - 1;
  while (groups > 0 && inputs.common_begin[groups] == inputs.common_begin[groups - 1]) --groups;
  inputs.common_begin = inputs.common_begin.first(groups + 1);
  inputs.sample = inputs.sample.top(inputs.common_begin.back());
  inputs.common = inputs.common.top(static_cast<std::int64_t>(groups));
  return inputs;
}

void FarBackend::copy_matrix(MatrixView<const float> from, MatrixView<float> to) {
  note(from, to);
  const FarMemory::Open open(far_);
  CpuBackend::copy_matrix(from, to);
}

void FarBackend::gather_ids(const StoredIds& from, std::span<const std::uint32_t> places, const EmptyBags& bags) {
  const FarMemory::Open open(far_);
  CpuBackend::gather_ids(from, places, bags);
}

void FarBackend::pool_embeddings(const Bags& bags, MatrixView<const float> table, MatrixView<float> out) {
  note(bags, table, out);
  const FarMemory::Open open(far_);
  CpuBackend::pool_embeddings(trimmed(bags), table, out);
}

void FarBackend::sort_ids(const Bags& sample, const Bags& common, SortedIds& sorted) {
  note(sample, common, &sorted);
  const FarMemory::Open open(far_);
  CpuBackend::sort_ids(trimmed(sample), trimmed(common), sorted);
}

void FarBackend::update_embeddings(const SortedIds& sorted, const Bags& sample, const Bags& common,
                                   MatrixView<const float> dpooled_sample, MatrixView<const float> dpooled_common,
                                   const OptimizerStep& optimizer, EmbeddingArena arena) {
  note(&sorted, sample, common, dpooled_sample, dpooled_common, optimizer.gradient_scale, optimizer.skip, arena.weights,
       arena.state);
  const FarMemory::Open open(far_);
  CpuBackend::update_embeddings(sorted, trimmed(sample), trimmed(common), dpooled_sample, dpooled_common, optimizer,
                                arena);
}

void FarBackend::embedding_gradient(SortedIds& sorted, const Bags& sample, const Bags& common,
                                    MatrixView<const float> dpooled_sample, MatrixView<const float> dpooled_common,
                                    std::int64_t dim) {
  note(&sorted, sample, common, dpooled_sample, dpooled_common);
  const FarMemory::Open open(far_);
  CpuBackend::embedding_gradient(sorted, trimmed(sample), trimmed(common), dpooled_sample, dpooled_common, dim);
}

void FarBackend::update_rows(const SortedIds& sorted, const OptimizerStep& optimizer, EmbeddingArena arena) {
  note(&sorted, optimizer.gradient_scale, optimizer.skip, arena.weights, arena.state);
  const FarMemory::Open open(far_);
  CpuBackend::update_rows(sorted, optimizer, arena);
}

SparseGradient FarBackend::row_gradients(const SortedIds& sorted) {
  EXPECT_EQ(calls_, nullptr) << "it synchronises";
  return CpuBackend::row_gradients(sorted);
}

void FarBackend::towers_forward(const TowerShape& shape, const TowerViews<const float>& parameters,
                                const TowerInputs& inputs, const Dropout& dropout, TowerWorkspace& workspace,
                                MatrixView<float> logits) {
  note(inputs, logits, parameters.first_common, workspace.first_common.span());
  for (const TowerWorkspace::Layer& layer : workspace.layers) note(layer.z.span(), layer.a.span(), layer.dz.span());
  const FarMemory::Open open(far_);
  const TowerInputs real = trimmed(inputs);
  CpuBackend::towers_forward(shape, parameters, real, dropout, workspace, logits.top(real.sample.rows));
}

void FarBackend::towers_backward(const TowerShape& shape, const TowerViews<const float>& parameters,
                                 const TowerInputs& inputs, const Dropout& dropout, MatrixView<const float> dlogits,
                                 TowerWorkspace& workspace, const TowerViews<float>& gradients,
                                 MatrixView<float> dcommon, MatrixView<float> dsample) {
  note(inputs, dlogits, gradients.first_common, dcommon, dsample);
  const FarMemory::Open open(far_);
  const TowerInputs real = trimmed(inputs);
  CpuBackend::towers_backward(shape, parameters, real, dropout, dlogits.top(real.sample.rows), workspace, gradients,
                              dcommon.top(real.common.rows), dsample.top(real.sample.rows));
}

void FarBackend::separate_towers(MatrixView<float> first_layer, std::int64_t pooled, std::int64_t dim) {
  note(first_layer);
  const FarMemory::Open open(far_);
  CpuBackend::separate_towers(first_layer, pooled, dim);
}

void FarBackend::two_task_loss(const Objective& objective, MatrixView<const float> logits,
                               std::span<const std::uint8_t> click, std::span<const std::uint8_t> conversion,
                               std::int64_t impressions, TaskLosses* losses, MatrixView<float> dlogits) {
  note(logits, click, conversion, losses, dlogits);
  const FarMemory::Open open(far_);
  CpuBackend::two_task_loss(objective, logits, click, conversion, impressions, losses, dlogits);
}

void FarBackend::initialise_state(const OptimizerConfig& config, MatrixView<float> state, std::int64_t dim) {
  const FarMemory::Open open(far_);
  CpuBackend::initialise_state(config, state, dim);
}

void FarBackend::update_dense(std::span<float> parameters, std::span<const float> gradients, std::span<float> state,
                              const OptimizerStep& optimizer) {
  note(parameters, gradients, state, optimizer.gradient_scale, optimizer.skip);
  const FarMemory::Open open(far_);
  CpuBackend::update_dense(parameters, gradients, state, optimizer);
}

void FarBackend::clipping_scale(std::span<const float> gradients, const SortedIds* rows, float limit, float* scale) {
  note(gradients, rows, scale);
  const FarMemory::Open open(far_);
  CpuBackend::clipping_scale(gradients, rows, limit, scale);
}

void FarBackend::check_finite(const TaskLosses* losses, std::span<const float> gradients, const SortedIds* rows,
                              std::int64_t* skip) {
  note(losses, gradients, rows, skip);
  const FarMemory::Open open(far_);
  CpuBackend::check_finite(losses, gradients, rows, skip);
}

double FarBackend::squared_norm(MatrixView<const float> values) {
  EXPECT_EQ(calls_, nullptr) << "it synchronises";
  const FarMemory::Open open(far_);
  return CpuBackend::squared_norm(values);
}

std::optional<double> FarBackend::auc(std::span<const float> scores, std::span<const std::uint8_t> labels) {
  const FarMemory::Open open(far_);
  return CpuBackend::auc(scores, labels);
}

std::array<TaskMetrics, 3> FarBackend::task_metrics(MatrixView<const float> logits, ReadOut read_out,
                                                    std::span<const std::uint8_t> clicks,
                                                    std::span<const std::uint8_t> conversions) {
  const FarMemory::Open open(far_);
  return CpuBackend::task_metrics(logits, read_out, clicks, conversions);
}

}  // namespace esmm::test
