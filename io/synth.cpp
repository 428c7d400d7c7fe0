#include "io/synth.hpp"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <exception>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "io/synth_text.hpp"
#include "io/synth_world.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

namespace fs = std::filesystem;
using synth::PendingFile;
using synth::Row;
using synth::RowWriter;
using synth::Truth;
using synth::World;

constexpr std::uint64_t chunk_rows = 4096;        // impressions after which a chunk takes no further user
constexpr std::uint64_t most_users = 1ULL << 26;  // user ids of both halves share 27 bits
constexpr std::array<std::string_view, 2> half_names = {"train", "test"};

/// The three files of one half.
struct WrittenHalf {
  PendingFile skeleton, common, truth;
  WrittenHalf(const std::string& directory, std::string_view half)
      : skeleton(directory, fmt::format("sample_skeleton_{}.csv", half)),
        common(directory, fmt::format("common_features_{}.csv", half)),
        truth(directory, fmt::format("truth_{}.csv", half)) {}
  [[nodiscard]] std::uint64_t bytes() const { return skeleton.bytes() + common.bytes() + truth.bytes(); }
  void commit() {  // the skeleton last: it makes the directory a log
    truth.commit();
    common.commit();
    skeleton.commit();
  }
};

/// Consecutive users' text, written in one piece.
struct Chunk {
  std::string skeleton, common, truth;
  std::uint64_t clicks = 0, conversions = 0;
  void clear() {
    skeleton.clear();
    common.clear();
    truth.clear();
    clicks = conversions = 0;
  }
};

void check_rate(std::string_view name, std::optional<double> rate) {
  if (!rate || (*rate > 0 && *rate < 1)) return;
  throw usage_error("synth: the {} rate is {}. Give a number between 0 and 1, both excluded.", name, *rate);
}

SynthOptions resolve(SynthOptions options) {
  if (options.out.empty()) throw usage_error("synth: no directory to write to. Name one with --out DIR.");
  if (options.rows == 0) throw usage_error("synth: --rows is 0. Ask for at least one impression.");
  if (!(options.selection_bias >= -1 && options.selection_bias <= 1)) {
    throw usage_error("synth: the selection bias is {}, not a correlation. Give a number from -1 to 1.",
                      options.selection_bias);
  }
  check_rate("click", options.click_rate);
  check_rate("conversion", options.conversion_rate);
  constexpr std::uint64_t impressions_per_user = 58;
  if (options.users == 0) options.users = std::max<std::uint64_t>(1, options.rows / impressions_per_user);
  if (options.users > options.rows) {
    throw usage_error("synth: --users {} is more than --rows {}. Every user has an impression: lower --users.",
                      options.users, options.rows);
  }
  if (options.users > most_users) {
    throw usage_error("synth: {} users are more than the {} that there can be. Lower --users or --rows.", options.users,
                      most_users);
  }
  if (options.threads <= 0) options.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  return options;
}

void make_log_directory(const std::string& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) {
    throw io_error("{}: cannot create the directory: {}. Choose another --out.", directory, error.message());
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    for (const std::string_view log : {"sample_skeleton_", "common_features_", "truth_"}) {
      if (name.starts_with(log)) {
        throw usage_error("{}: already holds a log ({}). Remove it or choose another --out.", directory, name);
      }
    }
  }
  if (error) throw io_error("{}: cannot list: {}. Choose another --out.", directory, error.message());
}

/// Writes one half: workers make chunks of users and take turns to write them in order.
class HalfWriter {
 public:
  HalfWriter(const World& world, const RowWriter& text, const SynthOptions& options, int half, WrittenHalf& files)
      : world_(world), text_(text), half_(half), first_sample_id_(1 + half * options.rows), files_(files) {
    std::uint64_t user = 0;
    while (user < world.users()) {
      chunk_begin_.push_back(user);
      const std::uint64_t enough = world.first_row(half, user) + chunk_rows;
      while (user < world.users() && world.first_row(half, user) < enough) ++user;
    }
    chunk_begin_.push_back(world.users());
  }

  /// Adds to the report.
  void run(int threads, SynthReport& report) {
    {
      std::vector<std::jthread> workers;
      for (int t = 0; t < threads; ++t) workers.emplace_back([this] { work(); });
    }
    if (failure_) std::rethrow_exception(failure_);
    report.clicks += clicks_;
    report.conversions += conversions_;
  }

 private:
  void work() {
    Chunk chunk;
    Row common, sample;
    try {
      for (std::size_t c = take(); c + 1 < chunk_begin_.size(); c = take()) {
        chunk.clear();
        for (std::uint64_t user = chunk_begin_[c]; user < chunk_begin_[c + 1]; ++user) {
          make_user(user, common, sample, chunk);
        }
        if (!write_in_turn(c, chunk)) return;
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      turn_.notify_all();
    }
  }

  void make_user(std::uint64_t user, Row& common, Row& sample, Chunk& chunk) const {
    const std::string key = world_.common_key(half_, user);
    world_.common_row(half_, user, common);
    text_.common(key, common.features, chunk.common);
    for (std::uint64_t row = world_.first_row(half_, user); row < world_.first_row(half_, user + 1); ++row) {
      world_.sample_row(half_, user, row, sample);
      const Truth truth = world_.truth(common.contribution, sample.contribution);
      Random random = world_.labels(half_, row);
      const bool click = random.bernoulli(truth.pctr);
      const bool conversion_if_clicked = random.bernoulli(truth.pcvr);
      const bool conversion = click && conversion_if_clicked;
      text_.skeleton(first_sample_id_ + row, click, conversion, key, sample.features, chunk.skeleton);
      RowWriter::truth(first_sample_id_ + row, truth, conversion_if_clicked, chunk.truth);
      chunk.clicks += click ? 1 : 0;
      chunk.conversions += conversion ? 1 : 0;
    }
  }

  std::size_t take() {
    const std::lock_guard lock(mutex_);
    return next_chunk_++;
  }

  /// False when another worker has failed. The writer alone holds the turn, so it needs no lock while it writes.
  bool write_in_turn(std::size_t c, const Chunk& chunk) {
    std::unique_lock lock(mutex_);
    turn_.wait(lock, [&] { return next_to_write_ == c || failure_; });
    if (failure_) return false;
    lock.unlock();
    files_.common.write(chunk.common);
    files_.skeleton.write(chunk.skeleton);
    files_.truth.write(chunk.truth);
    lock.lock();
    clicks_ += chunk.clicks;
    conversions_ += chunk.conversions;
    ++next_to_write_;
    turn_.notify_all();
    return true;
  }

  const World& world_;
  const RowWriter& text_;
  const int half_;
  const std::uint64_t first_sample_id_;
  WrittenHalf& files_;
  std::vector<std::uint64_t> chunk_begin_;  // first user of each chunk, and the end

  std::mutex mutex_;
  std::condition_variable turn_;
  std::size_t next_chunk_ = 0, next_to_write_ = 0;
  std::uint64_t clicks_ = 0, conversions_ = 0;
  std::exception_ptr failure_;
};

}  // namespace

SynthReport synthesise(const SynthOptions& requested) {
  const SynthOptions options = resolve(requested);
  make_log_directory(options.out);
  const World world(options);
  const RowWriter text(synth::profile(options.profile));

  SynthReport report{.rows = synth::halves * options.rows, .users = synth::halves * options.users};
  std::array<WrittenHalf, synth::halves> files = {WrittenHalf(options.out, half_names[0]),
                                                  WrittenHalf(options.out, half_names[1])};
  for (int half = 0; half < synth::halves; ++half) {
    WrittenHalf& written = files[static_cast<std::size_t>(half)];
    written.truth.write(RowWriter::truth_header);
    HalfWriter(world, text, options, half, written).run(options.threads, report);
    report.bytes += written.bytes();
  }
  for (WrittenHalf& written : files) written.commit();
  return report;
}

}  // namespace esmm
