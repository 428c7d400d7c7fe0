#include "io/file.hpp"

#include <fcntl.h>
#include <sys/file.h>
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

File File::append_to(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor < 0) throw failure("open", path);
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

void File::replace(std::string_view content) {
  if (::ftruncate(descriptor_, 0) != 0) throw failure("write", path_);
  append(std::as_bytes(std::span(content)));
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

bool File::try_lock() {
  while (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR) break;
  }
  return true;
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

void require_part(const std::string& path, std::string_view remedy) {
  std::error_code error;
  const auto is_absent = [&](const std::string& name) {
    return std::filesystem::status(name, error).type() == std::filesystem::file_type::not_found;
  };
  if (is_absent(path) && !is_absent(parent_directory(path))) throw data_error("{}: is missing. {}", path, remedy);
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

std::string parent_directory(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  return directory.empty() ? "." : directory;
}

void make_directory(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return;
  const std::string above = parent_directory(path.back() == '/' ? path.substr(0, path.size() - 1) : path);
  make_directory(above);
  if (::mkdir(path.c_str(), 0777) != 0 && (errno != EEXIST || !std::filesystem::is_directory(path, error)))
    throw failure("create", path);
  sync_directory(above);
}

void write_file(const std::string& path, std::string_view content) {
  StagedFile file(path);
  file.append(std::as_bytes(std::span(content)));
  file.commit();
}

}  // namespace esmm
