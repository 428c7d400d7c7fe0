#pragma once
#include <cstddef>
#include <memory_resource>
#include <string>
#include <utility>

#include "kernels/backend.hpp"
#include "kernels/cuda/launch.cuh"

// CUDA's resources as values: a constructor that throws Error, a destructor that never throws.
namespace esmm::ESMM_DEVICE_NAMESPACE {

/// A point in a stream.
class Event {
 public:
  Event();
  ~Event();
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  [[nodiscard]] cudaEvent_t get() const { return event_; }
  /// Waits on the host until the recorded point is passed. Passed already if never recorded.
  void wait() const;

 private:
  cudaEvent_t event_ = nullptr;
};

/// An in-order queue of device work that does not synchronise with the default stream.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  [[nodiscard]] cudaStream_t get() const { return stream_; }
  void record(const Event& event) const;
  /// What is enqueued from now on runs after the event's last recorded point.
  void wait(const Event& event) const;
  void synchronise() const;

 private:
  cudaStream_t stream_ = nullptr;
};

/// The memory of the current device; copies and fills are ordered with `stream`, copies from and to the host
/// synchronise.
class DeviceMemory final : public Memory {
 public:
  explicit DeviceMemory(const Stream& stream) : stream_(stream) {}
  void* allocate(std::size_t bytes) override;
  void release(void* pointer) noexcept override;
  void copy_from_host(void* to, const void* from, std::size_t bytes) override;
  void copy_to_host(void* to, const void* from, std::size_t bytes) const override;
  void zero(void* to, std::size_t bytes) override;
  /// Rows of at least a 32-byte sector start on one; shorter rows do not straddle two.
  [[nodiscard]] std::int64_t row_stride(std::int64_t columns) const override;
  /// Changes whenever memory is allocated or released: recorded graphs of an earlier generation may point to memory
  /// that is gone.
  [[nodiscard]] std::int64_t generation() const { return generation_; }

 private:
  const Stream& stream_;
  std::int64_t generation_ = 0;
};

/// Page-locked host memory, from and to which the device copies at full speed without holding up the host. Of the
/// device that is current when it is made: a thread that allocates or frees has that device from then on, as a new
/// thread would otherwise start to use device 0.
class PinnedMemory final : public std::pmr::memory_resource {
 public:
  PinnedMemory();

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* pointer, std::size_t bytes, std::size_t alignment) override;
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  int device_ = 0;
};

/// A recorded sequence of device work.
class Graph {
 public:
  Graph() = default;
  /// Instantiates what `stream` captured since begin_capture.
  static Graph end_capture(const Stream& stream);
  static void begin_capture(const Stream& stream);
  /// Ends a capture whose result is not wanted.
  static void abandon_capture(const Stream& stream) noexcept;
  ~Graph();
  Graph(Graph&& other) noexcept : executable_(std::exchange(other.executable_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(executable_, other.executable_);
    return *this;
  }
  void launch(const Stream& stream) const;

 private:
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
