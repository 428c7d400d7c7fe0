#include "tests/support/run_program.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>

namespace esmm::test {

namespace {

using FilePointer = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

FilePointer anonymous_file() {
  FilePointer file(std::tmpfile(), &std::fclose);
  if (!file) throw std::runtime_error("no temporary file");
  return file;
}

std::string content(std::FILE* file) {
  std::string text;
  std::rewind(file);
  char buffer[4096];
  while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, file)) text.append(buffer, n);
  return text;
}

int open_stdout(Stdout out, std::FILE* captured) {
  if (out == Stdout::captured) return fileno(captured);
  if (out == Stdout::full_disk) return open("/dev/full", O_WRONLY | O_CLOEXEC);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  close(ends[0]);  // nobody reads
  return ends[1];
}

}  // namespace

ProgramResult run_program(const std::vector<std::string>& arguments, Stdout out, const std::string& directory) {
  const FilePointer captured = anonymous_file(), errors = anonymous_file();
  const int out_descriptor = open_stdout(out, captured.get());
  std::vector<const char*> argv{ESMM_BINARY};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  argv.push_back(nullptr);

  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    dup2(out_descriptor, STDOUT_FILENO);
    dup2(fileno(errors.get()), STDERR_FILENO);
    if (!directory.empty() && chdir(directory.c_str()) != 0) _exit(127);
    execv(ESMM_BINARY, const_cast<char* const*>(argv.data()));
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (out != Stdout::captured) close(out_descriptor);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), content(captured.get()),
          content(errors.get())};
}

}  // namespace esmm::test
