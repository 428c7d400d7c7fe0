// Files and directories that are built under a temporary name, <target>.tmp-<process>, and locked for as long as their
// writer lives.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <vector>

#include "io/file.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMark = ".tmp-";

std::string temporary_name(const std::string& path) {
  return fmt::format("{}{}{}", path, kMark, ::getpid());
}

std::string file_name(const std::string& path) {
  return fs::path(path).filename().string();
}

void rename_to_target(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    throw io_error("{}: cannot rename to its final name: {}.", from, std::strerror(errno));
  sync_directory(parent_directory(to));
}

/// Gives the directory `from` the name `to`, and what had that name the name `from`, in one instant. False where the
/// system or the file system cannot.
bool exchange_names(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) != 0) {
    if (errno == EINVAL || errno == ENOSYS) return false;
    throw io_error("{}: cannot rename to its final name: {}.", from, std::strerror(errno));
  }
  sync_directory(parent_directory(to));
  return true;
}

/// Whether the open file still has its name: who waits for a lock may get that of a file which is gone, and whose name
/// another one has by now.
bool is_named(int descriptor, const std::string& path) {
  struct stat opened {
  }, named{};
  return ::fstat(descriptor, &opened) == 0 && ::stat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

/// Locks what was just created; false when someone who took it for abandoned has removed it meanwhile.
bool claim(const File& file) {
  while (::flock(file.descriptor(), LOCK_EX) != 0 && errno == EINTR) {
  }
  return is_named(file.descriptor(), file.path());
}

struct Staged {
  std::string path;
  int process = 0;
};

/// What is staged in a directory, by anyone, for targets whose names begin with `prefix`.
std::vector<Staged> staged_in(const std::string& directory, std::string_view prefix) {
  std::vector<Staged> found;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    const std::size_t mark = name.rfind(kMark);
    if (mark == std::string::npos || !name.starts_with(prefix)) continue;
    int process = 0;
    const char* const last = name.data() + name.size();
    const auto [stop, problem] = std::from_chars(name.data() + mark + kMark.size(), last, process);
    if (problem == std::errc{} && stop == last) found.push_back({at->path().string(), process});
  }
  return found;
}

/// Calls use(whether its writer lives) for something staged, unless it cannot be told. The dead's lock is held
/// meanwhile.
template <class Use>
void probe(const std::string& path, const Use& use) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) return;
  const bool locked = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0;
  if ((locked || errno == EWOULDBLOCK) && is_named(descriptor, path)) use(!locked);
  ::close(descriptor);
}

// A link is never replaced: /dev/stdout is one.
bool is_written_directly(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path, error);
  return fs::exists(status) && !fs::is_regular_file(status);
}

/// The message names the file that the user asked for.
File create_for(const std::string& target, const std::string& path) {
  try {
    if (path == target) return File::create(path);
    for (;;) {
      File file = File::create(path);
      if (claim(file)) return file;
    }
  } catch (const Error& error) {
    throw Error(error.code(), target + std::string(error.what()).substr(path.size()));
  }
}

File create_directory(const std::string& path) {
  for (;;) {
    make_directory(path);
    try {
      File directory = File::open(path);
      if (claim(directory)) return directory;
    } catch (const Error&) {
      if (fs::exists(path)) throw;  // else it was taken for abandoned before it could be locked
    }
  }
}

std::string without_trailing_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

/// The staging name of a target that is free, once what the dead have left of it is removed.
std::string staging_name(const std::string& target) {
  remove_abandoned(parent_directory(target), file_name(target) + std::string(kMark));
  return temporary_name(target);
}

}  // namespace

void remove_abandoned(const std::string& directory, std::string_view prefix) {
  for (const Staged& staged : staged_in(directory, prefix)) {
    probe(staged.path, [&](bool writer_lives) {
      std::error_code ignored;
      if (!writer_lives) fs::remove_all(staged.path, ignored);
    });
  }
}

std::optional<int> process_staging(const std::string& target) {
  std::optional<int> process;
  for (const Staged& staged : staged_in(parent_directory(target), file_name(target) + std::string(kMark))) {
    probe(staged.path, [&](bool writer_lives) {
      if (writer_lives) process = staged.process;
    });
  }
  return process;
}

StagedFile::StagedFile(std::string target)
    : target_(std::move(target)),
      path_(is_written_directly(target_) ? target_ : staging_name(target_)),
      file_(create_for(target_, path_)) {}

StagedFile::~StagedFile() {
  if (!committed_ && path_ != target_) ::unlink(path_.c_str());
}

void StagedFile::commit() {
  if (path_ != target_) {
    file_.sync();
    rename_to_target(path_, target_);
  }
  committed_ = true;
}

namespace {
/// Throws Error (usage) if `target` exists.
std::string staging_name_of_new(const std::string& target) {
  if (fs::exists(fs::symlink_status(target)))
    throw usage_error("{}: exists already. Remove it or choose another name.", target);
  return staging_name(target);
}
}  // namespace

StagedDirectory::StagedDirectory(std::string target, Existing existing)
    : target_(without_trailing_slashes(std::move(target))),
      path_(existing == Existing::refuse ? staging_name_of_new(target_) : staging_name(target_)),
      existing_(existing),
      lock_(create_directory(path_)) {}

StagedDirectory::~StagedDirectory() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(path_, ignored);
}

void StagedDirectory::commit() {
  sync_directory(path_);
  std::error_code ignored;
  if (existing_ == Existing::refuse || !fs::exists(fs::symlink_status(target_))) {
    rename_to_target(path_, target_);  // fails on a directory that another process has made meanwhile
  } else if (exchange_names(path_, target_)) {
    fs::remove_all(path_, ignored);
  } else {
    fs::remove_all(target_, ignored);
    rename_to_target(path_, target_);
  }
  committed_ = true;
}

}  // namespace esmm
