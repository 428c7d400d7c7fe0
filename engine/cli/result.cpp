#include "engine/cli/result.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "kernels/error.hpp"

namespace esmm {

void print_result(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (!written && errno != EPIPE) throw io_error("stdout: {}. The result could not be written.", std::strerror(errno));
}

void print_result(const Result& result, bool as_json) {
  print_result(as_json ? result.json.dump(2) + "\n" : result.text);
}

}  // namespace esmm
