#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "tests/simt/fault.hpp"
#include "tests/simt/fiber.hpp"
#include "tests/simt/random.hpp"
#include "tests/simt/shared_block.hpp"
#include "tests/simt/simt.hpp"
#include "tests/simt/thread.hpp"

namespace simt {

inline constexpr unsigned kWarp = 32;
inline constexpr unsigned kMostThreads = 1024;

/// A kernel and its geometry, as enqueued.
struct KernelCall {
  std::string name;
  cuda::dim3 grid, block;
  std::size_t shared_bytes = 0;
  Body body;  // runs one thread
};

/// An asynchronous copy into shared memory that has not arrived yet.
struct PendingCopy {
  std::byte* to;
  const std::byte* from;
  std::uint32_t bytes, zero_filled;
  std::array<std::byte, 16> seen;  // the source when the copy was issued: it must not change
  Place place;
  const void* caller;
};

struct alignas(64) Thread : ThreadView, Lane {
  enum class State : std::uint8_t { fresh, ready, at_barrier, in_warp, returned };
  Fiber* fiber = nullptr;
  Place place;  // where it waits
  unsigned linear = 0;
  State state = State::fresh;
  std::vector<PendingCopy> pending;     // [committed batches | not yet committed]
  std::vector<std::size_t> batch_ends;  // of the committed batches, in `pending`
  [[nodiscard]] unsigned lane() const { return linear % kWarp; }
  [[nodiscard]] unsigned warp() const { return linear / kWarp; }
};

/// Runs the blocks of kernels, one at a time: each thread is a fiber that runs until it has to wait.
class BlockRunner {
 public:
  BlockRunner();
  /// Throws Fault. `random` decides the order of blocks and threads.
  void run(const KernelCall& call, Random& random);

  // For the running thread:
  int barrier(Vote vote, bool predicate, const Place& place);
  std::uint64_t warp(const Collective& operation, unsigned mask, std::uint64_t value, int source, const Place& place);
  void* shared(const Place& place);
  [[noreturn]] void raise(std::string message);
  [[nodiscard]] Thread& current() const { return *static_cast<Thread*>(running); }
  [[nodiscard]] const BlockView& view() const { return view_; }
  [[nodiscard]] bool is_record(const void* address) const {
    return address >= threads_.data() && address < threads_.data() + threads_.size();
  }
  [[nodiscard]] const SharedBlock& shared_block() const { return shared_; }
  [[nodiscard]] std::string block_name() const;

 private:
  /// Lanes that wait for each other. Groups of one warp may name overlapping lanes.
  struct Group {
    const Collective* operation;
    unsigned mask, arrived;
    Place place;
  };
  struct Warp {
    std::vector<Group> groups;
    unsigned gone = 0;        // lanes that never existed or have returned
    unsigned at_barrier = 0;  // lanes
  };

  static void fiber_main();
  void run_block();
  void prepare_threads();
  [[noreturn]] void run_fresh_threads();
  Fiber& run_threads(Fiber& self);
  void run_body();
  void finished(Thread& thread);
  void wait(Thread& thread);
  Thread* pick();
  void shuffle_warps(std::uint16_t* order);
  void release(const std::uint16_t* threads, unsigned count);
  void open_barrier();
  void finish_group(Warp& warp, std::size_t group, unsigned warp_index);
  void check_group(const Warp& warp, const Thread& thread, const Collective& operation, unsigned mask,
                   const Place& place);
  [[noreturn]] void raise_deadlock();

  FiberPool fibers_;
  Fiber main_;
  BlockView view_{};
  const KernelCall* call_ = nullptr;
  Random* random_ = nullptr;
  SharedBlock shared_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  unsigned count_ = 0;  // threads of the block
  unsigned live_ = 0;   // those that have not returned

  // Threads that can go on, as a ring: taken at the front (even mixing) or at the back (last in, first out).
  std::array<std::uint16_t, kMostThreads> ring_{};
  unsigned ring_begin_ = 0, ring_size_ = 0;
  bool last_first_ = false;

  std::array<std::uint16_t, kMostThreads> waiting_{};  // at the barrier, in order of arrival
  unsigned waiting_size_ = 0;
  unsigned votes_ = 0;
  int vote_result_ = 0;
  Vote vote_ = Vote::none;

  std::optional<Fault> fault_;
};

/// "(1, 2, 3)"
[[nodiscard]] std::string to_string(cuda::uint3 index);
/// "loss.cu:31"
[[nodiscard]] std::string to_string(const Place& place);
[[nodiscard]] bool same_place(const Place& a, const Place& b);
[[nodiscard]] Thread& current_thread();
[[nodiscard]] cuda::uint3 current_block_index();
/// Of any thread of the running block.
[[nodiscard]] cuda::uint3 thread_index(unsigned linear);
/// Whether the address belongs to the harness's own notes on a thread.
[[nodiscard]] bool is_thread_record(const void* address);
/// Whether the range lies within the running block's shared memory.
[[nodiscard]] bool is_shared(const void* from, std::size_t bytes);

}  // namespace simt
