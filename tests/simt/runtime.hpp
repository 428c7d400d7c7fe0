#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/simt/block.hpp"
#include "tests/simt/memory.hpp"
#include "tests/simt/simt.hpp"
#include "tests/simt/streams.hpp"

namespace simt {

/// The device of the calling thread.
[[nodiscard]] int& current_device();

/// The modelled device with its host side. Every call of the API holds `mutex`. Further devices are
/// numbers that share its memory: streams know theirs, and it is kept which are used at all.
class Runtime {
 public:
  static Runtime& get();
  ~Runtime();

  std::mutex mutex;
  DeviceMemory device;
  PinnedMemory pinned;
  Streams streams;
  ApiCalls calls;
  std::map<std::string, std::int64_t> launched;
  std::map<const void*, std::size_t> shared_opt_in;  // by function
  std::set<const void*> freed;                       // by the host, but not yet released
  std::vector<std::unique_ptr<Event>> events;
  std::vector<std::unique_ptr<Graph>> graphs;
  std::vector<std::unique_ptr<GraphExec>> executables;
  int devices = 1;
  std::set<int> contexts;          // devices that are used
  std::string refused_launch;      // why, until someone asks
  std::vector<Capture*> captures;  // in progress

  /// Runs the body with device memory open; a Fault drops all queued work and waits for throw_fault().
  template <class Body>
  void drain(Body&& body) {
    const DeviceMemory::Open scope(device);
    try {
      body();
    } catch (const Fault& error) {
      fail(error);
    } catch (const std::exception& error) {  // of a host stand-in
      fail(host_fault(error.what()));
    }
  }
  void fail(const Fault& error);
  /// For the ends of synchronising calls.
  void throw_fault();
  /// For calls that only enqueue: they run some of the work when too much of it waits.
  void limit_queue();

  /// Runs a kernel now; throws Fault.
  void run_kernel(const KernelCall& call);
  void seed(std::uint64_t value);
  [[nodiscard]] Random& random() { return streams.random(); }

  /// For calls that need a device: the calling thread's is used from now on.
  void use_device() { contexts.insert(current_device()); }
  /// Whether calls that could not be part of a graph are forbidden now. Spoils the captures if so.
  [[nodiscard]] bool capture_forbids();

 private:
  Runtime() = default;
  BlockRunner runner_;
  std::optional<Fault> fault_;
};

/// A call of the API: holds the mutex; refuses calls from device code.
class ApiCall {
 public:
  ApiCall();
  Runtime* operator->() const { return &runtime_; }
  Runtime& operator*() const { return runtime_; }

 private:
  Runtime& runtime_;
  std::unique_lock<std::mutex> lock_;
};

/// Keeps the error for cudaGetLastError and returns it.
cuda::cudaError_t report(cuda::cudaError_t error);

}  // namespace simt
