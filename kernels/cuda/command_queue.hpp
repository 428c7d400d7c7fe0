#pragma once
#include <array>
#include <cstring>
#include <memory_resource>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/cuda/runtime.hpp"

namespace esmm::ESMM_DEVICE_NAMESPACE {

/// How often a step was enqueued call by call, recorded, and replayed from its record.
struct ReplayCounts {
  std::int64_t direct = 0, captured = 0, replayed = 0;
};

/// The backend's work queue, with a side stream for work that does not depend on the latest results. A sequence of
/// calls can be recorded as a CUDA graph: it is then enqueued with one call. Operations need not know: they enqueue
/// through this class, and pass what differs from step to step (learning rates, counts) as `constant`s, which lie in
/// device memory. When a sequence is replayed its operations are called as always, but only their constants are taken.
class CommandQueue {
 public:
  explicit CommandQueue(Stream& work, DeviceMemory& memory);

  /// Calls enqueue(stream), unless the call is part of a recorded sequence that is being replayed.
  template <class Enqueue>
  void enqueue(Enqueue&& call) {
    ++calls_;
    if (mode_ != Mode::replay) call(current_->get());
  }
  template <auto kernel, class... Args>
  void launch(const Geometry& geometry, const Args&... args) {
    enqueue([&](cudaStream_t stream) { ESMM_DEVICE_NAMESPACE::launch<kernel>(geometry, stream, args...); });
  }
  /// A copy of `value` in device memory, for kernels enqueued on the work stream before the next `constant` wraps
  /// around. T is trivially copyable.
  template <class T>
  [[nodiscard]] const T* constant(const T& value) {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= kConstantAlignment);
    return static_cast<const T*>(constant(&value, sizeof(T)));
  }

  /// What is enqueued in between goes to the side stream and runs after what was enqueued before `begin_side`.
  void begin_side();
  void end_side();
  /// What is enqueued from now on runs after the side stream's work.
  void join_side();

  /// Backend::replay: the first time a key is met its calls are enqueued directly (buffers grow to their sizes), the
  /// second time they are recorded, from then on replayed. At most kMostGraphs records are kept.
  void replay(const ReplayKey& key, void (*calls)(void*), void* context);

  [[nodiscard]] const Stream& work() const { return work_; }
  [[nodiscard]] const ReplayCounts& counts() const { return counts_; }

 private:
  enum class Mode { direct, capture, replay };
  static constexpr std::size_t kConstantAlignment = 16;
  static constexpr std::size_t kMostConstantBytes = 16 * 1024;  // of one sequence
  static constexpr std::size_t kMostGraphs = 64;

  struct Recorded {
    ReplayKey key;
    Graph graph;
    Buffer<unsigned char> constants;
    std::size_t constant_bytes = 0;
    std::int64_t calls = 0;
    std::int64_t last_use = 0;
  };

  const void* constant(const void* value, std::size_t bytes);
  /// Copies constants to the device through page-locked memory.
  void upload_constants(void* to, const void* from, std::size_t bytes);
  void forget_graphs_of_released_memory();
  [[nodiscard]] Recorded* find(const ReplayKey& key);
  Recorded& make_room();
  void record(const ReplayKey& key, void (*calls)(void*), void* context);
  void replay(Recorded& recorded, void (*calls)(void*), void* context);

  /// Page-locked bytes in two halves: one is written again when all copies from it are done.
  struct PinnedRing {
    PinnedRing();
    ~PinnedRing();
    PinnedRing(const PinnedRing&) = delete;
    PinnedRing& operator=(const PinnedRing&) = delete;
    static constexpr std::size_t kHalf = 64 * 1024;
    PinnedMemory memory;
    unsigned char* bytes;
    std::size_t half = 0, used = 0;  // where to write next: in which half, and how far into it
    std::array<Event, 2> left;       // recorded when a half is full
  };

  Stream& work_;
  DeviceMemory& memory_;
  Stream side_;
  Event forked_, joined_;
  bool side_pending_ = false;
  const Stream* current_;

  Mode mode_ = Mode::direct;
  PinnedRing pinned_;
  Buffer<unsigned char> direct_constants_;
  std::size_t direct_used_ = 0;
  unsigned char* recorded_constants_ = nullptr;  // of the sequence being recorded or replayed
  std::vector<unsigned char> staged_constants_;
  std::int64_t calls_ = 0;
  std::int64_t generation_ = -1;
  std::int64_t clock_ = 0;
  std::vector<ReplayKey> met_;
  std::vector<Recorded> recorded_;
  ReplayCounts counts_;
};

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
