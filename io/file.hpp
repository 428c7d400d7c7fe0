#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace esmm {

/// An open file that closes itself. Every failure throws Error (io) with the path and the system's reason.
class File {
 public:
  [[nodiscard]] static File open(const std::string& path);       // for reading
  [[nodiscard]] static File create(const std::string& path);     // for writing; replaces what is there
  [[nodiscard]] static File append_to(const std::string& path);  // for writing at the end of what is there, if anything
  /// A file without a name: its space is freed however the program ends.
  [[nodiscard]] static File temporary(const std::string& directory);
  ~File();
  File(File&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}
  File& operator=(File&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(path_, other.path_);
    return *this;
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[nodiscard]] std::uint64_t size() const;
  void append(std::span<const std::byte> bytes);
  /// Empties the file first.
  void replace(std::string_view content);
  /// Fills `out` from `offset`; a file that ends earlier is an error. Safe from several threads.
  void read_at(std::uint64_t offset, std::span<std::byte> out) const;
  void sync();
  /// Takes the file's lock (flock): false when another open file holds it. It is held until this one is closed, by the
  /// system when the process is killed. A file system without locks grants it to everyone.
  [[nodiscard]] bool try_lock();
  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  File(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  int descriptor_ = -1;
  std::string path_;
};

/// Reads a whole file; one larger than `limit` bytes is a data error.
[[nodiscard]] std::string read_file(const std::string& path, std::uint64_t limit);
/// For what belongs to a whole, such as a file of a packed dataset: Error (data) "<path>: is missing. <remedy>" when it
/// is not there but its directory is. Anything else is left for opening it to find out.
void require_part(const std::string& path, std::string_view remedy);
/// Writes to a temporary name in the same directory, syncs, renames.
void write_file(const std::string& path, std::string_view content);

/// Makes the names in a directory survive a crash of the machine.
void sync_directory(const std::string& path);
/// The directory that a file is in: "." for a bare name.
[[nodiscard]] std::string parent_directory(const std::string& path);
/// Creates a directory and those above it, synced into theirs. One that exists is left as it is.
void make_directory(const std::string& path);

/// Removes what dead processes have left in `directory`: files and directories staged for targets whose names begin
/// with `prefix`. Their writers hold locks on them, so that the living are told from the dead. Best effort; never
/// throws.
void remove_abandoned(const std::string& directory, std::string_view prefix = {});

/// The process that is staging `target` now, if there is one.
[[nodiscard]] std::optional<int> process_staging(const std::string& target);

/// Writes a file under a temporary name next to `target`. Removed again unless committed, or by the next who stages the
/// same target. A target that exists and is no regular file (a pipe, /dev/stdout) is written directly.
class StagedFile {
 public:
  explicit StagedFile(std::string target);
  ~StagedFile();
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;
  void append(std::span<const std::byte> bytes) { file_.append(bytes); }
  /// Syncs the file and gives it its name.
  void commit();

 private:
  std::string target_, path_;
  File file_;
  bool committed_ = false;
};

/// Builds a directory under a temporary name next to `target`. Removed again unless committed, or by the next who
/// stages the same target.
class StagedDirectory {
 public:
  enum class Existing { refuse, replace };
  /// Throws Error (usage) if `target` exists and is to be refused.
  explicit StagedDirectory(std::string target, Existing existing = Existing::refuse);
  ~StagedDirectory();
  StagedDirectory(const StagedDirectory&) = delete;
  StagedDirectory& operator=(const StagedDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  /// Syncs the directory and gives it its name. Files inside must have been synced. What it replaces is removed after
  /// that; on a file system that cannot exchange names, just before, so that a kill in between leaves neither.
  void commit();

 private:
  std::string target_, path_;
  Existing existing_;
  File lock_;
  bool committed_ = false;
};

}  // namespace esmm
