#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/simt/thread.hpp"

namespace simt {

struct Thread;

/// Someone who wants to know of every allocation and synchronisation: the race detector.
class Watch {
 public:
  virtual ~Watch() = default;
  virtual void allocated(const void* from, std::size_t bytes, bool shared) = 0;
  virtual void released(const void* from, std::size_t bytes) = 0;
  /// By a memset, or by a copy.
  virtual void written(const void* to, std::size_t bytes) = 0;
  /// By host code, with device memory open; an error message where some byte was never written, else "".
  virtual std::string check_read(const void* from, std::size_t bytes) = 0;
  virtual void copied(const void* from, void* to, std::size_t bytes) = 0;
  virtual void kernel_begins(const void* arguments, std::size_t argument_bytes) = 0;
  virtual void block_begins() = 0;
  virtual void barrier() = 0;
  virtual void warp_synchronised(unsigned warp, unsigned lanes) = 0;
  /// An access by the running thread; `caller` is a return address in device code.
  virtual void accessed(const void* address, std::size_t bytes, Access access, const void* caller) = 0;
};
/// Null in most programs.
extern Watch* watch;

}  // namespace simt
