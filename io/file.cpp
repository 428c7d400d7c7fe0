#include "io/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "kernels/error.hpp"

namespace esmm {
namespace {

Error failure(const char* action, const std::string& path) {
  return io_error("{}: cannot {}: {}.", path, action, std::strerror(errno));
}

std::string temporary_name(const std::string& path) {
  return path + ".tmp-" + std::to_string(::getpid());
}

void sync_directory(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) throw failure("open", path);
  const int result = ::fsync(descriptor);
  const int reason = errno;
  ::close(descriptor);
  errno = reason;
  if (result != 0 && reason != EINVAL) throw failure("sync", path);  // EINVAL: a file system without it
}

std::string parent(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  return directory.empty() ? "." : directory;
}

}  // namespace

File File::open(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw failure("open", path);
  return {descriptor, path};
}

File File::create(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) throw failure("create", path);
  return {descriptor, path};
}

File File::temporary(const std::string& directory) {
  std::string path = directory + "/temporary-XXXXXX";
  const int descriptor = ::mkostemp(path.data(), O_CLOEXEC);
  if (descriptor < 0) throw failure("create", path);
  ::unlink(path.c_str());
  return {descriptor, path};
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::uint64_t File::size() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) throw failure("inspect", path_);
  if (!S_ISREG(status.st_mode)) throw io_error("{}: not a regular file.", path_);
  return static_cast<std::uint64_t>(status.st_size);
}

void File::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw failure("write", path_);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void File::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t count = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw failure("read", path_);
    if (count == 0) throw io_error("{}: ends at byte {}; more was expected.", path_, offset);
    out = out.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
}

void File::sync() {
  if (::fsync(descriptor_) != 0) throw failure("sync", path_);
}

MappedFile::MappedFile(const std::string& path) {
  const File file = File::open(path);
  size_ = file.size();
  if (size_ == 0) return;
  void* const address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.descriptor(), 0);
  if (address == MAP_FAILED) throw failure("map", path);
  data_ = static_cast<const std::byte*>(address);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

std::string read_file(const std::string& path, std::uint64_t limit) {
  const File file = File::open(path);
  const std::uint64_t size = file.size();
  if (size > limit)
    throw data_error("{}: {} bytes long, at most {} are possible. The file is corrupt.", path, size, limit);
  std::string content(size, '\0');
  file.read_at(0, std::as_writable_bytes(std::span(content)));
  return content;
}

namespace {

// A link is never replaced: /dev/stdout is one.
bool is_written_directly(const std::string& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::symlink_status(path, error);
  return std::filesystem::exists(status) && !std::filesystem::is_regular_file(status);
}

}  // namespace

namespace {

/// The message names the file that the user asked for.
File create_for(const std::string& target, const std::string& path) {
  try {
    return File::create(path);
  } catch (const Error& error) {
    throw Error(error.code(), target + std::string(error.what()).substr(path.size()));
  }
}

}  // namespace

StagedFile::StagedFile(std::string target)
    : target_(std::move(target)),
      path_(is_written_directly(target_) ? target_ : temporary_name(target_)),
      file_(create_for(target_, path_)) {}

StagedFile::~StagedFile() {
  if (!committed_ && path_ != target_) ::unlink(path_.c_str());
}

void StagedFile::commit() {
  if (path_ != target_) {
    file_.sync();
    if (::rename(path_.c_str(), target_.c_str()) != 0) throw failure("rename to its final name", path_);
    sync_directory(parent(target_));
  }
  committed_ = true;
}

void write_file(const std::string& path, std::string_view content) {
  StagedFile file(path);
  file.append(std::as_bytes(std::span(content)));
  file.commit();
}

StagedDirectory::StagedDirectory(std::string target) : target_(std::move(target)) {
  while (target_.size() > 1 && target_.back() == '/') target_.pop_back();
  if (std::filesystem::exists(std::filesystem::symlink_status(target_)))
    throw usage_error("{}: exists already. Remove it or choose another name.", target_);
  path_ = temporary_name(target_);
  std::error_code error;
  std::filesystem::remove_all(path_, error);  // left behind by a crashed process with our process id
  std::filesystem::create_directories(path_, error);
  if (error) throw io_error("{}: cannot create: {}.", path_, error.message());
}

StagedDirectory::~StagedDirectory() {
  std::error_code ignored;
  if (!committed_) std::filesystem::remove_all(path_, ignored);
}

void StagedDirectory::commit() {
  sync_directory(path_);
  if (::rename(path_.c_str(), target_.c_str()) != 0) throw failure("rename to its final name", path_);
  committed_ = true;
  sync_directory(parent(target_));
}

}  // namespace esmm
