#include "kernels/cuda/command_queue.hpp"

#include <algorithm>

namespace esmm::ESMM_DEVICE_NAMESPACE {

CommandQueue::PinnedRing::PinnedRing() : bytes(static_cast<unsigned char*>(memory.allocate(2 * kHalf))) {}
CommandQueue::PinnedRing::~PinnedRing() {
  memory.deallocate(bytes, 2 * kHalf);
}

CommandQueue::CommandQueue(Stream& work, DeviceMemory& memory)
    : work_(work), memory_(memory), current_(&work), direct_constants_(memory, kMostConstantBytes) {
  staged_constants_.reserve(kMostConstantBytes);
}

void CommandQueue::begin_side() {
  if (mode_ != Mode::replay) {
    work_.record(forked_);
    side_.wait(forked_);
  }
  current_ = &side_;
}
void CommandQueue::end_side() {
  if (mode_ != Mode::replay) side_.record(joined_);
  current_ = &work_;
  side_pending_ = true;
}
void CommandQueue::join_side() {
  if (side_pending_ && mode_ != Mode::replay) work_.wait(joined_);
  side_pending_ = false;
}

void CommandQueue::upload_constants(void* to, const void* from, std::size_t bytes) {
  if (pinned_.used + bytes > PinnedRing::kHalf) {
    work_.record(pinned_.left[pinned_.half]);
    pinned_.half = 1 - pinned_.half;
    pinned_.left[pinned_.half].wait();
    pinned_.used = 0;
  }
  unsigned char* pinned = pinned_.bytes + pinned_.half * PinnedRing::kHalf + pinned_.used;
  std::memcpy(pinned, from, bytes);
  pinned_.used += (bytes + kConstantAlignment - 1) / kConstantAlignment * kConstantAlignment;
  check(cudaMemcpyAsync(to, pinned, bytes, cudaMemcpyHostToDevice, work_.get()), "constants to the device");
}

const void* CommandQueue::constant(const void* value, std::size_t bytes) {
  const std::size_t size = (bytes + kConstantAlignment - 1) / kConstantAlignment * kConstantAlignment;
  if (mode_ == Mode::direct) {
    if (direct_used_ + size > kMostConstantBytes) direct_used_ = 0;  // in order behind the kernels that read the old
    unsigned char* slot = direct_constants_.data() + direct_used_;
    direct_used_ += size;
    upload_constants(slot, value, bytes);
    return slot;
  }
  const std::size_t offset = staged_constants_.size();
  if (offset + size > kMostConstantBytes) {
    throw internal_error("replay: more than {} bytes of constants in one step", kMostConstantBytes);
  }
  staged_constants_.resize(offset + size);
  std::memcpy(staged_constants_.data() + offset, value, bytes);
  return recorded_constants_ + offset;
}

CommandQueue::Recorded* CommandQueue::find(const ReplayKey& key) {
  for (Recorded& recorded : recorded_) {
    if (recorded.key == key) return &recorded;
  }
  return nullptr;
}

void CommandQueue::forget_graphs_of_released_memory() {
  if (memory_.generation() == generation_) return;
  if (!recorded_.empty()) work_.synchronise();
  recorded_.clear();
  generation_ = memory_.generation();
}

CommandQueue::Recorded& CommandQueue::make_room() {
  if (recorded_.size() == kMostGraphs) {
    work_.synchronise();
    const auto oldest = std::min_element(recorded_.begin(), recorded_.end(),
                                         [](const auto& a, const auto& b) { return a.last_use < b.last_use; });
    recorded_.erase(oldest);
  }
  return recorded_.emplace_back();
}

void CommandQueue::replay(const ReplayKey& key, void (*calls)(void*), void* context) {
  forget_graphs_of_released_memory();
  ++clock_;
  if (Recorded* recorded = find(key); recorded != nullptr) {
    replay(*recorded, calls, context);
  } else if (std::find(met_.begin(), met_.end(), key) != met_.end()) {
    record(key, calls, context);
  } else {
    met_.push_back(key);
    calls(context);
    join_side();
    ++counts_.direct;
  }
}

void CommandQueue::record(const ReplayKey& key, void (*calls)(void*), void* context) {
  Recorded& recorded = make_room();
  recorded.key = key;
  recorded.constants = Buffer<unsigned char>(memory_, kMostConstantBytes);
  generation_ = memory_.generation();
  recorded_constants_ = recorded.constants.data();
  staged_constants_.clear();
  calls_ = 0;
  mode_ = Mode::capture;
  Graph::begin_capture(work_);
  try {
    calls(context);
    join_side();
    mode_ = Mode::direct;
    recorded.graph = Graph::end_capture(work_);
  } catch (...) {  // the capture is void, and so is the record
    mode_ = Mode::direct;
    Graph::abandon_capture(work_);
    recorded_.pop_back();
    throw;
  }
  if (memory_.generation() != generation_) {
    throw internal_error("replay: a step allocated memory while it was recorded");
  }
  recorded.constant_bytes = staged_constants_.size();
  recorded.calls = calls_;
  recorded.last_use = clock_;
  if (recorded.constant_bytes > 0) {
    upload_constants(recorded_constants_, staged_constants_.data(), recorded.constant_bytes);
  }
  recorded.graph.launch(work_);
  ++counts_.captured;
}

void CommandQueue::replay(Recorded& recorded, void (*calls)(void*), void* context) {
  recorded_constants_ = recorded.constants.data();
  staged_constants_.clear();
  calls_ = 0;
  mode_ = Mode::replay;
  try {
    calls(context);
  } catch (...) {
    mode_ = Mode::direct;
    throw;
  }
  join_side();
  mode_ = Mode::direct;
  if (calls_ != recorded.calls || staged_constants_.size() != recorded.constant_bytes) {
    throw internal_error("replay: a step made {} calls with {} bytes of constants, its record has {} and {}", calls_,
                         staged_constants_.size(), recorded.calls, recorded.constant_bytes);
  }
  if (recorded.constant_bytes > 0) {
    upload_constants(recorded_constants_, staged_constants_.data(), recorded.constant_bytes);
  }
  recorded.graph.launch(work_);
  recorded.last_use = clock_;
  ++counts_.replayed;
}

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
