#pragma once
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>

#include "tests/simt/vector_types.hpp"

// What the emulated headers need of the running thread; how it is scheduled is block.hpp's affair.
namespace simt {

using Place = std::source_location;

struct BlockView {
  cuda::uint3 index;
  cuda::dim3 dim, grid;
};
struct ThreadView {
  cuda::uint3 index;
  const BlockView* block;
};
/// The device thread that this OS thread is executing, or null in host code.
extern constinit thread_local ThreadView* running;

/// Whether that thread is in device code rather than in the harness: what the harness does is not device code's fault.
extern constinit thread_local bool in_device_code;
/// For functions that device code calls.
class HarnessScope {
 public:
  HarnessScope() { in_device_code = false; }
  ~HarnessScope() { in_device_code = true; }
  HarnessScope(const HarnessScope&) = delete;
  HarnessScope& operator=(const HarnessScope&) = delete;
};

/// Ends the running kernel; the next synchronising host call throws a Fault with the place of the running thread.
/// Nothing is unwound: a caller in device code that holds heap memory leaks it.
[[noreturn]] void raise_fault(std::string message);

/// The dynamic shared memory of the running block: fresh, filled with 0xFF bytes, 128-byte aligned.
[[nodiscard]] void* shared_memory(Place place = Place::current());

enum class Vote { none, count, all, any };
/// Waits for every thread of the block that has not returned. Returns what the vote gives.
int block_barrier(Vote vote, bool predicate, const Place& place);

/// What a lane brings to a warp operation and what it takes home.
struct Lane {
  std::uint64_t value = 0;
  std::uint64_t result = 0;
  int source = 0;  // the lane it reads from
};
/// The lanes of one warp operation; those not in `arrived` are null.
struct WarpLanes {
  Lane* lane[32];
  unsigned mask;     // as named by the program
  unsigned arrived;  // without those that have returned
};
/// A warp operation: `finish` runs once, when all lanes have arrived, and returns an error message or null.
struct Collective {
  const char* name;
  const char* (*finish)(WarpLanes& lanes);
  bool needs_all_lanes = false;  // a lane that has returned is an error
  bool orders_memory = false;    // only __syncwarp does: shuffles and votes exchange registers
};
/// Waits for the lanes of `mask`; returns the calling lane's result.
std::uint64_t warp_collective(const Collective& operation, unsigned mask, std::uint64_t value, int source,
                              const Place& place);
/// Index of the running thread within its warp.
[[nodiscard]] int lane_index();

enum class AtomicOperation { add, subtract, maximum, minimum, exchange, bit_or, bit_and, bit_xor };
/// Defined for int, unsigned and unsigned long long.
template <class T>
T atomic_update(AtomicOperation operation, T* address, T value);
template <class T>
T atomic_compare_and_swap(T* address, T expected, T desired);

enum class Access { read, write, atomic };
/// Tells the watch, if there is one, of an access that the harness makes on behalf of the running thread; `caller` is a
/// return address in device code.
void touch(const void* address, std::size_t bytes, Access access, const void* caller);

}  // namespace simt
