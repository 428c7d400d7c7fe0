// Makes a chosen call of the C library fail, for fault_test.py: LD_PRELOAD=failing_calls.so, and in the environment
//   ESMM_FAIL_UNDER=DIR       only calls on files below DIR are counted and can fail
//   ESMM_FAIL=CALL:N:ERRNO    the N-th CALL (from 1) fails with this error number; with N+ every later one does too,
//                             and the first of such writes does half of its work, as on a disk that fills up;
//                             `kill` for ERRNO: the program is killed before it
//   ESMM_FAIL_COUNTS=FILE     at the end: how often each CALL was made, as JSON
// CALL: open, read, write, fsync, rename (and renameat2), mkdir.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

enum Call : std::size_t { kOpen, kRead, kWrite, kFsync, kRename, kMkdir, kCalls };
constexpr std::array<const char*, kCalls> kNames{"open", "read", "write", "fsync", "rename", "mkdir"};

std::array<std::atomic<long>, kCalls> made;

struct Plan {
  std::string under;
  std::size_t call = kCalls;  // none
  long number = 0;
  bool stays = false;
  int error = 0;  // -1: kill

  Plan() {
    if (const char* const directory = std::getenv("ESMM_FAIL_UNDER")) under = std::string(directory) + "/";
    const char* const wish = std::getenv("ESMM_FAIL");
    if (wish == nullptr) return;
    const char* const colon = std::strchr(wish, ':');
    for (std::size_t c = 0; c < kCalls; ++c) {
      if (colon != nullptr && std::string(wish, colon) == kNames[c]) call = c;
    }
    if (call == kCalls) std::abort();
    char* end = nullptr;
    number = std::strtol(colon + 1, &end, 10);
    stays = *end == '+';
    const char* const what = std::strchr(end, ':') + 1;
    error = std::strcmp(what, "kill") == 0 ? -1 : std::atoi(what);
  }
};

const Plan& plan() {
  static const Plan instance;
  return instance;
}

bool is_below(const char* path) {
  return !plan().under.empty() && std::strncmp(path, plan().under.c_str(), plan().under.size()) == 0;
}

bool is_below(int descriptor) {
  char path[PATH_MAX + 1] = {};
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  return ::readlink(link.c_str(), path, PATH_MAX) > 0 && is_below(path);
}

enum class Verdict { pass, half, fail };

/// Counts a call on a file or path; sets errno if it is to fail.
template <class File>
Verdict judge(Call call, File file) {
  const int before = errno;
  const bool counts = is_below(file);
  errno = before;
  if (!counts) return Verdict::pass;
  const long number = ++made[call];
  const Plan& p = plan();
  if (call != p.call || number < p.number || (number > p.number && !p.stays)) return Verdict::pass;
  if (call == kWrite && p.stays && number == p.number) return Verdict::half;
  if (p.error < 0) std::raise(SIGKILL);
  errno = p.error;
  return Verdict::fail;
}

template <class Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

mode_t mode_in(int flags, std::va_list& arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

[[gnu::destructor]] void write_counts() {
  const char* const file = std::getenv("ESMM_FAIL_COUNTS");
  std::FILE* const out = file == nullptr ? nullptr : real<std::FILE*(const char*, const char*)>("fopen")(file, "w");
  if (out == nullptr) return;
  for (std::size_t c = 0; c < kCalls; ++c)
    std::fprintf(out, "%s\"%s\": %ld", c == 0 ? "{" : ", ", kNames[c], made[c].load());
  std::fputs("}\n", out);
  std::fclose(out);
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_in(flags, arguments);
  va_end(arguments);
  return judge(kOpen, path) == Verdict::fail ? -1 : real<int(const char*, int, ...)>("open")(path, flags, mode);
}

int openat(int directory, const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_in(flags, arguments);
  va_end(arguments);
  if (judge(kOpen, path) == Verdict::fail) return -1;
  return real<int(int, const char*, int, ...)>("openat")(directory, path, flags, mode);
}

std::FILE* fopen(const char* path, const char* mode) {
  return judge(kOpen, path) == Verdict::fail ? nullptr
                                             : real<std::FILE*(const char*, const char*)>("fopen")(path, mode);
}

std::FILE* fopen64(const char* path, const char* mode) {
  return judge(kOpen, path) == Verdict::fail ? nullptr
                                             : real<std::FILE*(const char*, const char*)>("fopen64")(path, mode);
}

int mkostemp(char* path, int flags) {
  return judge(kOpen, static_cast<const char*>(path)) == Verdict::fail ? -1
                                                                       : real<int(char*, int)>("mkostemp")(path, flags);
}

ssize_t read(int descriptor, void* to, std::size_t size) {
  if (judge(kRead, descriptor) == Verdict::fail) return -1;
  return real<ssize_t(int, void*, std::size_t)>("read")(descriptor, to, size);
}

ssize_t pread(int descriptor, void* to, std::size_t size, off_t offset) {
  if (judge(kRead, descriptor) == Verdict::fail) return -1;
  return real<ssize_t(int, void*, std::size_t, off_t)>("pread")(descriptor, to, size, offset);
}

ssize_t write(int descriptor, const void* from, std::size_t size) {
  const Verdict verdict = judge(kWrite, descriptor);
  if (verdict == Verdict::half) size = size > 1 ? size / 2 : size;
  return verdict == Verdict::fail ? -1 : real<ssize_t(int, const void*, std::size_t)>("write")(descriptor, from, size);
}

int ftruncate(int descriptor, off_t length) noexcept {
  return judge(kWrite, descriptor) == Verdict::fail ? -1 : real<int(int, off_t)>("ftruncate")(descriptor, length);
}

int fsync(int descriptor) {
  return judge(kFsync, descriptor) == Verdict::fail ? -1 : real<int(int)>("fsync")(descriptor);
}

int rename(const char* from, const char* to) noexcept {
  return judge(kRename, from) == Verdict::fail ? -1 : real<int(const char*, const char*)>("rename")(from, to);
}

int renameat2(int from_directory, const char* from, int to_directory, const char* to, unsigned flags) noexcept {
  if (judge(kRename, from) == Verdict::fail) return -1;
  return real<int(int, const char*, int, const char*, unsigned)>("renameat2")(from_directory, from, to_directory, to,
                                                                              flags);
}

int mkdir(const char* path, mode_t mode) noexcept {
  return judge(kMkdir, path) == Verdict::fail ? -1 : real<int(const char*, mode_t)>("mkdir")(path, mode);
}

}  // extern "C"
