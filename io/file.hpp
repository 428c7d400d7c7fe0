#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace esmm {

/// An open file that closes itself. Every failure throws Error (io) with the path and the system's reason.
class File {
 public:
  [[nodiscard]] static File open(const std::string& path);    // for reading
  [[nodiscard]] static File create(const std::string& path);  // for writing; replaces what is there
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
  /// Fills `out` from `offset`; a file that ends earlier is an error. Safe from several threads.
  void read_at(std::uint64_t offset, std::span<std::byte> out) const;
  void sync();
  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  File(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  int descriptor_ = -1;
  std::string path_;
};

/// A whole file, mapped read-only.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Reads a whole file; one larger than `limit` bytes is a data error.
[[nodiscard]] std::string read_file(const std::string& path, std::uint64_t limit);
/// Writes to a temporary name in the same directory, syncs, renames.
void write_file(const std::string& path, std::string_view content);

/// Writes a file under a temporary name next to `target`. Removed again unless committed. A target that exists and is
/// no regular file (a pipe, /dev/stdout) is written directly.
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

/// Builds a directory under a temporary name next to `target`. Removed again unless committed.
class StagedDirectory {
 public:
  /// Throws Error (usage) if `target` exists.
  explicit StagedDirectory(std::string target);
  ~StagedDirectory();
  StagedDirectory(const StagedDirectory&) = delete;
  StagedDirectory& operator=(const StagedDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  /// Syncs the directory and gives it its name. Files inside must have been synced.
  void commit();

 private:
  std::string target_, path_;
  bool committed_ = false;
};

}  // namespace esmm
