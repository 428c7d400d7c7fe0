#include "tests/simt/block.hpp"

#include <cstring>
#include <numeric>

#include "tests/simt/sanitizers.hpp"
#include "tests/simt/watch.hpp"

namespace simt {

constinit thread_local ThreadView* running = nullptr;
constinit thread_local bool in_device_code = false;
Watch* watch = nullptr;

namespace {

constinit thread_local BlockRunner* runner = nullptr;  // while it runs a kernel

std::uint64_t count_of(cuda::dim3 shape) {
  return std::uint64_t{shape.x} * shape.y * shape.z;
}

cuda::uint3 index_of(std::uint64_t linear, cuda::dim3 shape) {
  return {static_cast<unsigned>(linear % shape.x), static_cast<unsigned>(linear / shape.x % shape.y),
          static_cast<unsigned>(linear / shape.x / shape.y)};
}

/// All of [0, count) in an order that depends on two random numbers: i -> (offset + i * stride) mod count.
class Permutation {
 public:
  Permutation(std::uint64_t count, Random& random)
      : count_(count), next_(random.next() % count), stride_(random.next() % count) {
    while (std::gcd(stride_, count_) != 1) stride_ = (stride_ + 1) % count_;
  }
  std::uint64_t next() {
    const std::uint64_t result = next_;
    next_ = static_cast<std::uint64_t>((static_cast<unsigned __int128>(next_) + stride_) % count_);
    return result;
  }

 private:
  std::uint64_t count_, next_, stride_;
};

}  // namespace

BlockRunner::BlockRunner() : fibers_(&BlockRunner::fiber_main), threads_(kMostThreads), warps_(kMostThreads / kWarp) {}

void BlockRunner::run(const KernelCall& call, Random& random) {
  call_ = &call;
  random_ = &random;
  view_ = {{}, call.block, call.grid};
  count_ = static_cast<unsigned>(count_of(call.block));
  for (unsigned t = 0; t < count_; ++t) {
    threads_[t].index = index_of(t, call.block);
    threads_[t].block = &view_;
    threads_[t].linear = t;
  }
  runner = this;
  describe_own_stack(main_);
  if (watch != nullptr) watch->kernel_begins(call.body.arguments(), call.body.bytes());
  const std::uint64_t blocks = count_of(call.grid);
  Permutation order(blocks, random);
  for (std::uint64_t i = 0; i < blocks && !fault_; ++i) {
    view_.index = index_of(order.next(), call.grid);
    run_block();
  }
  runner = nullptr;
  if (fault_) {
    const Fault fault = *fault_;
    fault_.reset();
    fibers_.reset();
    throw Fault(fault);
  }
}

void BlockRunner::run_block() {
  shared_.begin(call_->shared_bytes);
  prepare_threads();
  if (watch != nullptr) watch->block_begins();
  Thread* first = pick();
  first->fiber = fibers_.take();
  running = first;
  switch_fiber(main_, *first->fiber);
  running = nullptr;
  in_device_code = false;
  const char* damage = shared_.end();
  if (damage != nullptr && !fault_) fault_ = Fault(call_->name, block_name(), "", damage);
}

void BlockRunner::prepare_threads() {
  live_ = count_;
  waiting_size_ = 0;
  votes_ = 0;
  const unsigned warps = (count_ + kWarp - 1) / kWarp;
  for (unsigned w = 0; w < warps; ++w) {
    warps_[w].groups.clear();
    warps_[w].at_barrier = 0;
    const unsigned lanes = std::min(kWarp, count_ - w * kWarp);
    warps_[w].gone = lanes == kWarp ? 0U : ~0U << lanes;
  }
  for (unsigned t = 0; t < count_; ++t) {
    threads_[t].state = Thread::State::fresh;
    threads_[t].pending.clear();
    threads_[t].batch_ends.clear();
  }
  // Even mixing: all threads advance by one wait each, in random order. Last in, first out: one warp runs as far ahead
  // of the others as it can.
  last_first_ = random_->coin();
  ring_begin_ = 0;
  ring_size_ = count_;
  for (unsigned t = 0; t < count_; ++t) ring_[t] = static_cast<std::uint16_t>(t);
  if (!last_first_ || count_ <= kWarp) {
    random_->shuffle(ring_.data(), count_);
  } else {
    shuffle_warps(ring_.data());
  }
}

/// Fills `order` with the threads that have not returned, warp by warp.
void BlockRunner::shuffle_warps(std::uint16_t* order) {
  const unsigned warps = (count_ + kWarp - 1) / kWarp;
  std::array<std::uint16_t, kMostThreads / kWarp> warp_order;
  for (unsigned w = 0; w < warps; ++w) warp_order[w] = static_cast<std::uint16_t>(w);
  random_->shuffle(warp_order.data(), warps);
  for (unsigned w = 0; w < warps; ++w) {
    unsigned lanes = 0;
    for (unsigned here = ~warps_[warp_order[w]].gone; here != 0; here &= here - 1) {
      order[lanes++] = static_cast<std::uint16_t>(warp_order[w] * kWarp + static_cast<unsigned>(__builtin_ctz(here)));
    }
    random_->shuffle(order, lanes);
    order += lanes;
  }
}

void BlockRunner::fiber_main() {
  arrive_in_fiber();
  runner->run_fresh_threads();
}

void BlockRunner::run_fresh_threads() {
  Fiber& self = *current().fiber;
  for (;;) switch_fiber(self, run_threads(self));
}

/// Runs fresh threads for as long as one follows another; returns the fiber to go on with. Not to be inlined: a fiber
/// that waited in between may be continued by another thread of the operating system, whose thread_local variables are
/// elsewhere.
[[gnu::noinline]] Fiber& BlockRunner::run_threads(Fiber& self) {
  for (;;) {
    run_body();
    finished(current());
    Thread* next = pick();
    if (next == nullptr || next->state != Thread::State::fresh) {
      fibers_.give_back(&self);
      if (next != nullptr) running = next;
      return next != nullptr ? *next->fiber : main_;
    }
    next->fiber = &self;
    running = next;
  }
}

void BlockRunner::run_body() {
  std::optional<std::string> thrown;
  try {
    in_device_code = true;
    call_->body();
  } catch (const std::exception& error) {
    thrown = error.what();
  } catch (...) {
    thrown = "(no std::exception)";
  }
  in_device_code = false;
  if (thrown) {
    std::string message = "device code threw an exception: " + *thrown;
    thrown.reset();
    raise(std::move(message));
  }
}

Thread* BlockRunner::pick() {
  if (ring_size_ == 0) {
    if (live_ != 0) raise_deadlock();
    return nullptr;
  }
  --ring_size_;
  if (last_first_) return &threads_[ring_[(ring_begin_ + ring_size_) % kMostThreads]];
  Thread* next = &threads_[ring_[ring_begin_]];
  ring_begin_ = (ring_begin_ + 1) % kMostThreads;
  return next;
}

void BlockRunner::wait(Thread& thread) {
  Thread* next = pick();
  running = next;
  if (next == &thread) return;
  if (next->state == Thread::State::fresh) next->fiber = fibers_.take();
  switch_fiber(*thread.fiber, *next->fiber);
}

void BlockRunner::release(const std::uint16_t* threads, unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    threads_[threads[i]].state = Thread::State::ready;
    ring_[(ring_begin_ + ring_size_ + i) % kMostThreads] = threads[i];
  }
  ring_size_ += count;
}

void BlockRunner::finished(Thread& thread) {
  if (!thread.pending.empty()) {
    std::string message = "returned while an asynchronous copy of " + to_string(thread.pending.front().place) +
                          " was pending: call __pipeline_commit() and __pipeline_wait_prior(0)";
    raise(std::move(message));
  }
  thread.state = Thread::State::returned;
  --live_;
  Warp& warp = warps_[thread.warp()];
  warp.gone |= 1U << thread.lane();
  for (std::size_t g = warp.groups.size(); g-- > 0;) {
    if ((warp.groups[g].mask & ~(warp.groups[g].arrived | warp.gone)) == 0) finish_group(warp, g, thread.warp());
  }
  if (waiting_size_ == live_ && live_ != 0) open_barrier();
}

int BlockRunner::barrier(Vote vote, bool predicate, const Place& place) {
  Thread& thread = current();
  Warp& warp = warps_[thread.warp()];
  for (const Group& group : warp.groups) {
    if (((group.mask >> thread.lane()) & 1U) == 0) continue;
    std::string message = "reached __syncthreads at " + to_string(place) + " while other lanes wait for it in " +
                          group.operation->name + " at " + to_string(group.place);
    raise(std::move(message));
  }
  if (waiting_size_ != 0) {
    const Thread& other = threads_[waiting_[0]];
    if (!same_place(other.place, place) || vote_ != vote) {
      std::string message = "divergent barrier: reached __syncthreads at " + to_string(place) + " while thread " +
                            to_string(other.index) + " waits in __syncthreads at " + to_string(other.place);
      raise(std::move(message));
    }
  }
  vote_ = vote;
  thread.place = place;
  thread.state = Thread::State::at_barrier;
  warp.at_barrier |= 1U << thread.lane();
  if (predicate) ++votes_;
  waiting_[waiting_size_++] = static_cast<std::uint16_t>(thread.linear);
  if (waiting_size_ == live_) open_barrier();
  wait(thread);
  return vote_result_;
}

void BlockRunner::open_barrier() {
  if (vote_ != Vote::none) {
    const bool all = votes_ == waiting_size_;
    vote_result_ = vote_ == Vote::count ? static_cast<int>(votes_) : vote_ == Vote::all ? all : votes_ != 0;
  }
  votes_ = 0;
  for (unsigned w = 0; w * kWarp < count_; ++w) warps_[w].at_barrier = 0;
  if (watch != nullptr) watch->barrier();
  if (last_first_) {
    shuffle_warps(waiting_.data());
  } else {
    random_->shuffle(waiting_.data(), waiting_size_);
  }
  release(waiting_.data(), waiting_size_);
  waiting_size_ = 0;
}

void* BlockRunner::shared(const Place& place) {
  if (shared_.data() == nullptr) {
    std::string message = "uses shared memory at " + to_string(place) + " but was launched with 0 bytes of it";
    raise(std::move(message));
  }
  return shared_.data();
}

// ---- Faults --------------------------------------------------------------------------------------------------------

void BlockRunner::raise(std::string message) {
  fault_ = Fault(call_->name, block_name(), to_string(current().index), std::move(message));
  leave_fiber(*current().fiber, main_);
}

std::string BlockRunner::block_name() const {
  return to_string(view_.index);
}

void BlockRunner::raise_deadlock() {
  std::string message = "deadlock:";
  int listed = 0;
  for (unsigned t = 0; t < count_ && listed < 8; ++t) {  // one line for each run of threads that wait at one place
    const Thread& thread = threads_[t];
    if (thread.state != Thread::State::at_barrier && thread.state != Thread::State::in_warp) continue;
    unsigned last = t;
    while (last + 1 < count_ && threads_[last + 1].state == thread.state &&
           same_place(threads_[last + 1].place, thread.place)) {
      ++last;
    }
    message += (listed++ == 0 ? " thread " : ", thread ") + to_string(thread.index);
    if (last != t) message += " to " + to_string(threads_[last].index);
    message += (thread.state == Thread::State::at_barrier ? " in __syncthreads at " : " in a warp operation at ") +
               to_string(thread.place);
    t = last;
  }
  raise(std::move(message));
}

// ---- What the emulated headers call --------------------------------------------------------------------------------

void raise_fault(std::string message) {
  in_device_code = false;
  if (runner == nullptr) throw host_fault(std::move(message));
  runner->raise(std::move(message));
}

void* shared_memory(Place place) {
  if (runner == nullptr) throw host_fault("shared memory is asked for outside of a kernel");
  const HarnessScope scope;
  return runner->shared(place);
}

int block_barrier(Vote vote, bool predicate, const Place& place) {
  if (runner == nullptr) throw host_fault("__syncthreads is called outside of a kernel");
  const HarnessScope scope;
  return runner->barrier(vote, predicate, place);
}

std::uint64_t warp_collective(const Collective& operation, unsigned mask, std::uint64_t value, int source,
                              const Place& place) {
  if (runner == nullptr) throw host_fault("a warp operation is called outside of a kernel");
  const HarnessScope scope;
  return runner->warp(operation, mask, value, source, place);
}

int lane_index() {
  return static_cast<int>(runner->current().lane());
}

void touch(const void* address, std::size_t bytes, Access access, const void* caller) {
  if (watch != nullptr) watch->accessed(address, bytes, access, caller);
}

Thread& current_thread() {
  return runner->current();
}

cuda::uint3 current_block_index() {
  return runner->view().index;
}

cuda::uint3 thread_index(unsigned linear) {
  return index_of(linear, runner->view().dim);
}

bool is_thread_record(const void* address) {
  return runner->is_record(address);
}

bool is_shared(const void* from, std::size_t bytes) {
  const SharedBlock& shared = runner->shared_block();
  const auto* begin = static_cast<const std::byte*>(from);
  return begin >= shared.data() && begin + bytes <= shared.data() + shared.bytes();
}

// ---- Text ----------------------------------------------------------------------------------------------------------

std::string to_string(cuda::uint3 index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " + std::to_string(index.z) + ")";
}

std::string to_string(const Place& place) {
  const char* slash = std::strrchr(place.file_name(), '/');
  return std::string(slash == nullptr ? place.file_name() : slash + 1) + ":" + std::to_string(place.line());
}

bool same_place(const Place& a, const Place& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

}  // namespace simt
