#include "tests/simt/race_detector.hpp"

#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "tests/simt/race_symbols.hpp"
#include "tests/simt/runtime.hpp"

namespace simt {
namespace {

constexpr std::size_t kGranule = 4;
constexpr std::size_t kSharedMargin = 1024;  // the guards of shared memory

template <class T>
T* reserve(std::size_t count) {
  void* range =
      mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) throw std::bad_alloc();
  return static_cast<T*>(range);
}

const char* name_of(Access access) {
  return access == Access::read ? "read" : access == Access::write ? "write" : "atomic";
}

}  // namespace

void install_race_detector() {
  static RaceDetector detector;
}

RaceDetector::RaceDetector()
    : device_(Runtime::get().device.begin()),
      device_bytes_(Runtime::get().device.reserved()),
      device_state_(reserve<State>(device_bytes_)),
      device_cells_(reserve<Cell>(device_bytes_ / kGranule)),
      clocks_(kMostThreads / kWarp) {
  watch = this;
}

RaceDetector::~RaceDetector() {
  watch = nullptr;
  munmap(device_state_, device_bytes_ * sizeof(State));
  munmap(device_cells_, device_bytes_ / kGranule * sizeof(Cell));
}

// ---- What the harness tells ----------------------------------------------------------------------------------------

void RaceDetector::allocated(const void* from, std::size_t bytes, bool shared) {
  const auto* begin = static_cast<const std::byte*>(from);
  if (!shared) {
    std::memset(device_state_ + (begin - device_), static_cast<int>(State::unwritten), bytes);
    return;
  }
  shared_ = {begin, begin + bytes};
  shared_state_.assign(bytes, State::unwritten);
  if (shared_cells_.size() < bytes / kGranule + 1) shared_cells_.resize(bytes / kGranule + 1);
}

void RaceDetector::released(const void* from, std::size_t bytes) {
  const auto* begin = static_cast<const std::byte*>(from);
  if (shared_.contains(from)) {
    shared_ = {};
    return;
  }
  const auto offset = static_cast<std::size_t>(begin - device_);
  std::memset(device_state_ + offset, static_cast<int>(State::none), bytes);
  Cell* cells = device_cells_ + offset / kGranule;
  const std::size_t count = (bytes + kGranule - 1) / kGranule;
  if (history_.any_more()) std::for_each(cells, cells + count, [&](Cell& cell) { history_.recycle(cell); });
}

void RaceDetector::written(const void* to, std::size_t bytes) {
  const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(to) - device_);
  if (offset < device_bytes_) std::memset(device_state_ + offset, static_cast<int>(State::written), bytes);
}

std::string RaceDetector::check_read(const void* from, std::size_t bytes) {
  const auto* begin = static_cast<const std::byte*>(from);
  const State* state = device_state_ + (begin - device_);
  const State* found = std::find_if(state, state + bytes, [](State each) { return each != State::written; });
  return found == state + bytes ? "" : "uninitialised: read of " + describe(begin + (found - state));
}

void RaceDetector::copied(const void* from, void* to, std::size_t bytes) {
  const auto to_offset = static_cast<std::size_t>(static_cast<const std::byte*>(to) - device_);
  const auto from_offset = static_cast<std::size_t>(static_cast<const std::byte*>(from) - device_);
  if (to_offset < device_bytes_ && from_offset < device_bytes_) {
    std::memcpy(device_state_ + to_offset, device_state_ + from_offset, bytes);
  } else {
    written(to, bytes);
  }
}

void RaceDetector::kernel_begins(const void* arguments, std::size_t argument_bytes) {
  const auto* begin = static_cast<const std::byte*>(arguments);
  arguments_ = {begin, begin + argument_bytes};
  kernel_epoch_ = epoch_ + 1;
  blocks_.clear();
  find_program_memory();
}

void RaceDetector::block_begins() {
  block_epoch_ = ++epoch_;
  blocks_.push_back({block_epoch_, current_block_index()});
}

void RaceDetector::warp_synchronised(unsigned warp, unsigned lanes) {
  clocks_[warp].enter(epoch_);
  clocks_[warp].synchronise(lanes);
}

// ---- Accesses ------------------------------------------------------------------------------------------------------

void RaceDetector::accessed(const void* address, std::size_t bytes, Access access, const void* caller) {
  const bool was_device_code = std::exchange(in_device_code, false);
  check_access(address, bytes, access, caller);
  in_device_code = was_device_code;
}

void RaceDetector::check_access(const void* address, std::size_t bytes, Access access, const void* caller) {
  const auto* begin = static_cast<const std::byte*>(address);
  const auto device_offset = static_cast<std::size_t>(begin - device_);
  const bool of_device = device_offset < device_bytes_;
  const bool of_shared = !of_device && begin + kSharedMargin >= shared_.begin && begin < shared_.end + kSharedMargin &&
                         shared_.begin != nullptr;
  if (!of_device && !of_shared) {
    check_elsewhere(address, caller);
    return;
  }
  const Thread& thread = current_thread();
  WarpClocks& clocks = clocks_[thread.warp()];
  clocks.enter(epoch_);
  const Now now{of_shared ? block_epoch_ : kernel_epoch_,
                block_epoch_,
                epoch_,
                static_cast<std::uint16_t>(thread.linear),
                &clocks.seen(thread.lane()),
                pack(caller)};
  if (of_device) {
    check_state(begin, bytes, access, device_state_ + device_offset, caller);
    check_race(device_offset, bytes, access, device_cells_, now, begin);
    return;
  }
  if (begin < shared_.begin || begin + bytes > shared_.end) {
    std::string message =
        std::string("out of bounds: ") + name_of(access) + " at " + place(now.caller) + " of " + describe(address);
    raise_fault(std::move(message));
  }
  const auto offset = static_cast<std::size_t>(begin - shared_.begin);
  check_state(begin, bytes, access, &shared_state_[offset], caller);
  check_race(offset, bytes, access, shared_cells_.data(), now, begin);
}

void RaceDetector::check_state(const std::byte* address, std::size_t bytes, Access access, State* state,
                               const void* caller) {
  constexpr std::uint32_t kFourWritten = 0x02020202U;
  static_assert(static_cast<std::uint32_t>(State::written) == 2);
  std::uint32_t four = 0;
  if (bytes == sizeof(four)) {  // most are
    std::memcpy(&four, state, sizeof(four));
    if (four == kFourWritten) return;
  }
  for (std::size_t i = 0; i < bytes; ++i) {
    if (state[i] == State::written) continue;
    if (state[i] == State::unwritten && access == Access::write) {
      state[i] = State::written;
      continue;
    }
    const char* what = state[i] == State::none ? "out of bounds: " : "uninitialised: ";
    std::string message =
        std::string(what) + name_of(access) + " at " + place(pack(caller)) + " of " + describe(address + i);
    raise_fault(std::move(message));
  }
}

void RaceDetector::check_race(std::size_t offset, std::size_t bytes, Access access, Cell* cells, const Now& now,
                              const std::byte* address) {
  const std::size_t end = offset + bytes;
  for (std::size_t at = offset; at < end;) {
    const std::size_t first = at / kGranule * kGranule, next = std::min(end, first + kGranule);
    Cell& cell = cells[at / kGranule];
    const auto race = next - at == kGranule ? history_.access(cell, access, now)
                                            : history_.access_bytes(cell, at - first, next - first, access, now);
    if (race) report(*race, access, now, address + (at - offset));
    at = next;
  }
}

/// Neither device nor shared memory: a thread's own stack, its arguments, constants and page-locked memory may be
/// touched. The rest of the host's memory does not exist for a GPU.
void RaceDetector::check_elsewhere(const void* address, const void* caller) {
  const Thread& thread = current_thread();
  const auto* stack = static_cast<const std::byte*>(thread.fiber->bottom);
  if (address >= stack && address < stack + thread.fiber->size) return;
  if (is_thread_record(address) || arguments_.contains(address)) return;
  if (std::any_of(program_.begin(), program_.end(), [&](const Range& range) { return range.contains(address); }))
    return;
  if (Runtime::get().pinned.contains(address, 1)) return;
  std::string message = "touches memory of the host, or of another thread's stack, at " + place(pack(caller));
  raise_fault(std::move(message));
}

void RaceDetector::find_program_memory() {
  program_.clear();
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t /*bytes*/, void* ranges) {
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& segment = info->dlpi_phdr[i];
          const std::byte* begin = nullptr;
          if (segment.p_type == PT_LOAD) begin = reinterpret_cast<const std::byte*>(info->dlpi_addr + segment.p_vaddr);
          if (segment.p_type == PT_TLS) begin = static_cast<const std::byte*>(info->dlpi_tls_data);
          if (begin != nullptr) static_cast<std::vector<Range>*>(ranges)->push_back({begin, begin + segment.p_memsz});
        }
        return 0;
      },
      &program_);
}

// ---- Reports -------------------------------------------------------------------------------------------------------

void RaceDetector::report(const Race& race, Access access, const Now& now, const std::byte* address) {
  std::string message = "race on " + describe(address) + ": " + name_of(access) + " at " + place(now.caller) +
                        ", and " + name_of(race.first) + " at " + place(race.caller) + " by ";
  message += race.thread == kSeveral ? "several threads" : "thread " + to_string(thread_index(race.thread));
  if (race.epoch >= block_epoch_) {
    message += " of this block";
  } else {
    const auto later = [](std::uint32_t epoch, const StartedBlock& block) { return epoch < block.epoch; };
    message +=
        " of block " + to_string(std::prev(std::upper_bound(blocks_.begin(), blocks_.end(), race.epoch, later))->index);
  }
  raise_fault(std::move(message));
}

std::string RaceDetector::describe(const void* address) const {
  if (!Runtime::get().device.is_device(address)) {
    return "shared memory of " + std::to_string(shared_.end - shared_.begin) + " bytes, offset " +
           std::to_string(static_cast<const std::byte*>(address) - shared_.begin);
  }
  return Runtime::get().device.describe(address);
}

std::uint32_t RaceDetector::pack(const void* caller) {
  return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(caller) - program_base());
}

std::string RaceDetector::place(std::uint32_t caller) {
  return source_place(program_base() + caller);
}

}  // namespace simt
