#include "tests/simt/pipeline.hpp"

#include <algorithm>
#include <cstring>

#include "tests/simt/block.hpp"
#include "tests/simt/runtime.hpp"

namespace simt {
namespace {

constexpr int kPoison = 0xFF;

void arrive(const PendingCopy& copy) {
  const std::size_t copied = copy.bytes - copy.zero_filled;
  const auto poisoned = [](std::byte value) { return value == std::byte{kPoison}; };
  if (!std::all_of(copy.to, copy.to + copy.bytes, poisoned)) {
    std::string message =
        "the destination of the asynchronous copy at " + to_string(copy.place) + " was written before it arrived";
    raise_fault(std::move(message));
  }
  if (std::memcmp(copy.seen.data(), copy.from, copied) != 0) {
    std::string message =
        "the source of the asynchronous copy at " + to_string(copy.place) + " changed before it arrived";
    raise_fault(std::move(message));
  }
  touch(copy.from, copied, Access::read, copy.caller);
  touch(copy.to, copy.bytes, Access::write, copy.caller);
  std::memcpy(copy.to, copy.from, copied);
  std::memset(copy.to + copied, 0, copy.zero_filled);
}

}  // namespace

void cuda::__pipeline_memcpy_async(void* to_shared, const void* from_global, std::size_t bytes, std::size_t zero_filled,
                                   Place place) {
  const HarnessScope scope;
  const auto fail = [&](const char* what) { raise_fault("the asynchronous copy at " + to_string(place) + " " + what); };
  if ((bytes != 4 && bytes != 8 && bytes != 16) || zero_filled > bytes) fail("is not of 4, 8 or 16 bytes");
  const auto misaligned = [&](const void* address) { return reinterpret_cast<std::uintptr_t>(address) % bytes != 0; };
  if (misaligned(to_shared)) fail("has a misaligned destination");
  if (misaligned(from_global)) fail("has a misaligned source");
  if (!is_shared(to_shared, bytes)) fail("does not go to shared memory");
  const std::size_t copied = bytes - zero_filled;
  if (copied != 0 && !Runtime::get().device.contains(from_global, copied)) fail("does not come from device memory");

  PendingCopy copy{static_cast<std::byte*>(to_shared),
                   static_cast<const std::byte*>(from_global),
                   static_cast<std::uint32_t>(bytes),
                   static_cast<std::uint32_t>(zero_filled),
                   {},
                   place,
                   __builtin_return_address(0)};
  touch(copy.to, bytes, Access::write, copy.caller);
  std::memcpy(copy.seen.data(), copy.from, copied);
  std::memset(copy.to, kPoison, bytes);
  current_thread().pending.push_back(copy);
}

void cuda::__pipeline_commit() {
  const HarnessScope scope;
  Thread& thread = current_thread();
  thread.batch_ends.push_back(thread.pending.size());
}

void cuda::__pipeline_wait_prior(std::size_t batches) {
  const HarnessScope scope;
  Thread& thread = current_thread();
  if (thread.batch_ends.size() <= batches) return;
  const std::size_t waited = thread.batch_ends.size() - batches;
  const std::size_t copies = thread.batch_ends[waited - 1];
  for (std::size_t c = 0; c < copies; ++c) arrive(thread.pending[c]);
  thread.pending.erase(thread.pending.begin(), thread.pending.begin() + static_cast<std::ptrdiff_t>(copies));
  thread.batch_ends.erase(thread.batch_ends.begin(), thread.batch_ends.begin() + static_cast<std::ptrdiff_t>(waited));
  for (std::size_t& end : thread.batch_ends) end -= copies;
}

}  // namespace simt
