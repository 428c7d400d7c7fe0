#include "tests/simt/streams.hpp"

#include <algorithm>
#include <limits>
#include <string_view>

#include "tests/simt/fault.hpp"

namespace simt {

std::uint64_t PinnedSource::hash() const {
  std::uint64_t result = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    const std::string_view row(reinterpret_cast<const char*>(from + r * pitch), width);
    result = result * 0x9E3779B97F4A7C15U + std::hash<std::string_view>{}(row);
  }
  return result;
}

Streams::Streams() : random_(1) {
  all_.push_back(std::make_unique<Stream>());
}

Stream* Streams::create(bool blocking) {
  all_.push_back(std::make_unique<Stream>());
  all_.back()->blocking = blocking;
  return all_.back().get();
}

Stream* Streams::find(cuda::cudaStream_t handle) {
  if (handle == nullptr) return all_.front().get();
  const auto* stream = reinterpret_cast<const Stream*>(handle);
  const auto found = std::find_if(all_.begin() + 1, all_.end(),
                                  [&](const auto& each) { return each.get() == stream && !each->destroyed; });
  return found == all_.end() ? nullptr : found->get();
}

void Streams::destroy(Stream* stream) {
  stream->destroyed = true;
  if (stream->queue.empty()) std::erase_if(all_, [&](const auto& each) { return each.get() == stream; });
}

// ---- Enqueueing ----------------------------------------------------------------------------------------------------

void Streams::add(Stream& stream, Work work) {
  auto shared = std::make_shared<const Work>(std::move(work));
  if (stream.capture != nullptr) {
    auto& nodes = stream.capture->graph.nodes;
    nodes.push_back({std::move(shared), stream.captured_tail});
    stream.captured_tail = {nodes.size() - 1};
    return;
  }
  Operation operation;
  operation.number = next_number_++;
  operation.hash = shared->source.hash();
  operation.work = std::move(shared);
  stream.queue.push_back(std::move(operation));
}

void Streams::record(Stream& stream, Event& event) {
  event.capture = stream.capture;
  event.captured_tail = stream.captured_tail;
  if (stream.capture != nullptr) return;
  Operation operation;
  operation.number = next_number_++;
  operation.signal = std::make_shared<Record>(Record{false, &stream});
  event.last = operation.signal;
  stream.queue.push_back(std::move(operation));
}

void Streams::wait(Stream& stream, const Event& event) {
  if (event.capture != nullptr) {
    if (stream.capture == nullptr) {
      stream.capture = event.capture;
      stream.captured_tail.clear();
      event.capture->members.insert(&stream);
    }
    for (const std::size_t node : event.captured_tail) {
      auto& tail = stream.captured_tail;
      if (std::find(tail.begin(), tail.end(), node) == tail.end()) tail.push_back(node);
    }
    return;
  }
  if (event.last == nullptr || event.last->done) return;
  Operation operation;
  operation.number = next_number_++;
  operation.wait = event.last;
  stream.queue.push_back(std::move(operation));
}

void Streams::launch(Stream& stream, GraphExec& exec) {
  auto run = std::make_unique<GraphRun>();
  run->graph = exec.graph;
  run->left = exec.graph->nodes.size();
  run->done.assign(run->left, false);
  for (const GraphNode& node : exec.graph->nodes) run->hashes.push_back(node.work->source.hash());
  Operation operation;
  operation.number = next_number_++;
  operation.wait = exec.last;
  operation.graph = std::move(run);
  operation.signal = std::make_shared<Record>(Record{false, &stream});
  exec.last = operation.signal;
  stream.queue.push_back(std::move(operation));
}

void Streams::fence(std::function<void()> then) {
  fences_.push_back({next_number_++, std::move(then)});
  pass_fences();
}

std::size_t Streams::pending() const {
  std::size_t count = 0;
  for (const auto& stream : all_) count += stream->queue.size();
  return count;
}

// ---- Running -------------------------------------------------------------------------------------------------------

bool Streams::ready(const Stream& stream) const {
  if (stream.queue.empty()) return false;
  const Operation& head = stream.queue.front();
  if (head.wait != nullptr && !head.wait->done) return false;
  if (!fences_.empty() && head.number > fences_.front().number) return false;
  // The default stream and the blocking ones wait for each other in the order of the calls.
  const Stream& first = *all_.front();
  if (&stream == &first) {
    return std::none_of(all_.begin() + 1, all_.end(), [&](const auto& other) {
      return other->blocking && !other->queue.empty() && other->queue.front().number < head.number;
    });
  }
  return !stream.blocking || first.queue.empty() || first.queue.front().number > head.number;
}

void Streams::find_candidates() {
  candidates_.clear();
  for (const auto& stream : all_) {
    if (!ready(*stream)) continue;
    const GraphRun* run = stream->queue.front().graph.get();
    if (run == nullptr || run->left == 0) {
      candidates_.push_back({stream.get(), 0});
      continue;
    }
    for (std::size_t n = 0; n < run->done.size(); ++n) {
      const auto& after = run->graph->nodes[n].after;
      if (run->done[n] || !std::all_of(after.begin(), after.end(), [&](std::size_t a) { return run->done[a]; }))
        continue;
      candidates_.push_back({stream.get(), n});
    }
  }
}

/// The stream whose head has to run so that `target` comes nearer to running.
Stream* Streams::wanted(Stream* target) const {
  while (target != nullptr && !target->queue.empty()) {
    const auto& wait = target->queue.front().wait;
    if (wait == nullptr || wait->done) return target;
    target = wait->stream;
  }
  return nullptr;
}

bool Streams::step(Stream* target, Policy policy) {
  find_candidates();
  if (candidates_.empty()) return false;
  const auto keep = [&](bool the_wanted) {
    const Stream* stream = wanted(target);
    std::vector<Candidate> kept;
    for (const Candidate& each : candidates_) {
      if ((each.stream == stream) == the_wanted) kept.push_back(each);
    }
    if (!kept.empty()) candidates_ = std::move(kept);
  };
  if (target != nullptr && policy != Policy::any) keep(policy == Policy::wanted_only);
  run_candidate(candidates_[random_.below(static_cast<std::uint32_t>(candidates_.size()))]);
  return true;
}

void Streams::run(const Work& work, std::uint64_t hash) {
  if (work.source.hash() != hash) {
    throw host_fault(work.name +
                     ": pinned buffer reused too early: the host changed it before the copy ran. Wait for " +
                     "an event recorded after the copy");
  }
  work.run();
}

void Streams::run_candidate(const Candidate& candidate) {
  Stream& stream = *candidate.stream;
  Operation& head = stream.queue.front();
  if (head.work != nullptr) run(*head.work, head.hash);
  if (head.graph != nullptr && head.graph->left != 0) {
    GraphRun& graph = *head.graph;
    run(*graph.graph->nodes[candidate.node].work, graph.hashes[candidate.node]);
    graph.done[candidate.node] = true;
    if (--graph.left != 0) return;
  }
  if (head.signal != nullptr) head.signal->done = true;
  stream.queue.pop_front();
  if (stream.destroyed) destroy(&stream);
  pass_fences();
}

void Streams::pass_fences() {
  if (fences_.empty()) return;
  std::uint64_t oldest = std::numeric_limits<std::uint64_t>::max();
  for (const auto& stream : all_) {
    if (!stream->queue.empty()) oldest = std::min(oldest, stream->queue.front().number);
  }
  while (!fences_.empty() && fences_.front().number < oldest) {
    const auto then = std::move(fences_.front().then);
    fences_.pop_front();
    then();
  }
}

void Streams::drain(Stream* target, const std::function<bool()>& done) {
  constexpr Policy kPolicies[] = {Policy::any, Policy::wanted_only, Policy::others_first};
  const Policy policy = kPolicies[random_.below(3)];
  while (!done()) {
    if (!step(target, policy)) throw host_fault("streams wait for each other");
  }
}

void Streams::run_all() {
  drain(nullptr, [&] { return pending() == 0; });
}

void Streams::run_until_empty(Stream& stream) {
  drain(&stream, [&] { return stream.queue.empty(); });
}

void Streams::run_until_done(const Record& record) {
  drain(record.stream, [&] { return record.done; });
}

void Streams::run_some(std::size_t operations) {
  for (std::size_t i = 0; i < operations && step(nullptr, Policy::any); ++i) {
  }
}

void Streams::discard() {
  for (const auto& stream : all_) {
    for (Operation& operation : stream->queue) {
      if (operation.signal != nullptr) operation.signal->done = true;
    }
    stream->queue.clear();
  }
  std::erase_if(all_, [](const auto& each) { return each->destroyed; });
  pass_fences();
}

}  // namespace simt
