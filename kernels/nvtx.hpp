#pragma once

namespace esmm {

/// A named range of the calling thread's timeline, in the NVTX domain "esmm": from construction to destruction. Ranges
/// of a thread nest. Costs a few nanoseconds while no profiler is attached; does nothing in a build without NVTX.
/// `name` must be a string literal or live as long as the range. No NVTX header is seen by who includes this one.
class NvtxRange {
 public:
  explicit NvtxRange(const char* name) noexcept;
  ~NvtxRange();
  NvtxRange(const NvtxRange&) = delete;
  NvtxRange& operator=(const NvtxRange&) = delete;
};

}  // namespace esmm
