#pragma once
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "io/text_source.hpp"

namespace esmm {

/// A pipeline over a ring of slots. read(slot) is called by one thread at a time, in order, until it returns false;
/// work(slot) runs on `workers` threads at once; deliver(slot) is called in order on the calling thread. The first
/// exception in that order stops the pipeline and is rethrown. One worker: everything runs on the calling thread.
void run_in_order(int workers, std::size_t slots, const std::function<bool(std::size_t slot)>& read,
                  const std::function<void(std::size_t slot)>& work,
                  const std::function<void(std::size_t slot)>& deliver);

/// `threads`, or one per core for 0.
[[nodiscard]] int worker_count(int threads);
/// Slots that keep as many workers busy.
[[nodiscard]] inline std::size_t pipeline_slots(int workers) {
  return workers == 1 ? 1 : static_cast<std::size_t>(workers + workers / 2 + 1);
}

/// Parses a source chunk by chunk on `threads` workers; the sink sees the rows in file order. `parse` must clear the
/// rows that it is given: their memory is reused unless the sink took it. Memory is bounded by the ring.
template <class Rows>
void parse_in_order(TextSource& source, int threads, const std::function<void(const TextChunk&, Rows&)>& parse,
                    const std::function<void(Rows&&)>& sink) {
  struct Slot {
    TextChunk chunk;
    Rows rows;
  };
  const int workers = worker_count(threads);
  std::vector<Slot> ring(pipeline_slots(workers));
  run_in_order(
      workers, ring.size(), [&](std::size_t slot) { return source.next(ring[slot].chunk); },
      [&](std::size_t slot) { parse(ring[slot].chunk, ring[slot].rows); },
      [&](std::size_t slot) { sink(std::move(ring[slot].rows)); });
}

}  // namespace esmm
