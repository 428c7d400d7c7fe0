#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/simt/random.hpp"
#include "tests/simt/runtime_types.hpp"

// The model of streams, events and graphs: work waits in queues until the host synchronises, and then runs in a seeded
// order that respects nothing but the order within a stream and the recorded events.
namespace simt {

struct Stream;

/// Host memory that a queued copy will read.
struct PinnedSource {
  const std::byte* from = nullptr;
  std::size_t width = 0, rows = 0, pitch = 0;
  [[nodiscard]] std::uint64_t hash() const;
};

/// What an operation does, its arguments by value. Shared with the graphs that captured it.
struct Work {
  std::string name;
  std::function<void()> run;  // throws Fault
  PinnedSource source;
};

struct GraphNode {
  std::shared_ptr<const Work> work;
  std::vector<std::size_t> after;
};
struct Graph {
  std::vector<GraphNode> nodes;
};

/// One recording of an event.
struct Record {
  bool done = false;
  Stream* stream = nullptr;
};

/// One launch of a graph.
struct GraphRun {
  std::shared_ptr<const Graph> graph;
  std::vector<bool> done;
  std::vector<std::uint64_t> hashes;
  std::size_t left = 0;
};

/// An entry of a stream's queue: any of the parts may be missing.
struct Operation {
  std::uint64_t number = 0;  // in the order of the host's calls
  std::shared_ptr<Record> wait;
  std::shared_ptr<const Work> work;
  std::uint64_t hash = 0;
  std::unique_ptr<GraphRun> graph;
  std::shared_ptr<Record> signal;
};

struct Capture {
  Graph graph;
  Stream* origin = nullptr;
  cuda::cudaStreamCaptureMode mode{};
  std::thread::id thread;  // that began it
  bool invalid = false;
  bool ended = false;
  std::set<Stream*> members;
};
struct Stream {
  int device = 0;          // current when it was created
  bool blocking = true;    // ordered with the default stream
  bool destroyed = false;  // by the host; gone when its queue is empty
  std::deque<Operation> queue;
  std::shared_ptr<Capture> capture;
  std::vector<std::size_t> captured_tail;  // what the next captured operation comes after
};
struct Event {
  std::shared_ptr<Record> last;  // null: never recorded
  std::shared_ptr<Capture> capture;
  std::vector<std::size_t> captured_tail;
};
struct GraphExec {
  std::shared_ptr<const Graph> graph;
  std::shared_ptr<Record> last;  // launches of one executable graph follow one another
};

/// All streams of the device.
class Streams {
 public:
  Streams();
  [[nodiscard]] Stream* create(bool blocking);
  /// The stream of a handle (null is the default stream); null where there is none.
  [[nodiscard]] Stream* find(cuda::cudaStream_t handle);
  [[nodiscard]] Stream& default_stream() { return *all_.front(); }
  void destroy(Stream* stream);

  /// Enqueues or, where the stream is being captured, adds to the graph.
  void add(Stream& stream, Work work);
  void record(Stream& stream, Event& event);
  void wait(Stream& stream, const Event& event);
  void launch(Stream& stream, GraphExec& exec);
  /// Everything that the host calls from now on comes after everything before; `then` runs in between.
  void fence(std::function<void()> then);

  void reseed(std::uint64_t seed) { random_ = Random(seed); }
  [[nodiscard]] Random& random() { return random_; }
  [[nodiscard]] std::size_t pending() const;

  /// Runs operations until the goal is reached; throws Fault. Operations that it does not need may run, too.
  void run_all();
  void run_until_empty(Stream& stream);
  void run_until_done(const Record& record);
  /// Runs about `operations` operations.
  void run_some(std::size_t operations);
  /// Drops everything that waits, as done.
  void discard();

 private:
  struct Candidate {
    Stream* stream;
    std::size_t node;  // of the graph at the head of the queue
  };
  struct Fence {
    std::uint64_t number;
    std::function<void()> then;
  };
  enum class Policy { any, wanted_only, others_first };

  [[nodiscard]] bool ready(const Stream& stream) const;
  void find_candidates();
  [[nodiscard]] Stream* wanted(Stream* target) const;
  bool step(Stream* target, Policy policy);
  void run(const Work& work, std::uint64_t hash);
  void run_candidate(const Candidate& candidate);
  void pass_fences();
  void drain(Stream* target, const std::function<bool()>& done);

  std::vector<std::unique_ptr<Stream>> all_;
  std::deque<Fence> fences_;
  std::uint64_t next_number_ = 1;
  Random random_;
  std::vector<Candidate> candidates_;
};

}  // namespace simt
