#pragma once
#include <string>
#include <vector>

namespace esmm::test {

struct ProgramResult {
  int exit_code = 0;  // 128 + signal when it was killed
  std::string out, err;
};

enum class Stdout { captured, closed_pipe, full_disk };

/// Runs the built esmm_gpu with these arguments, in this directory (empty: the current one), until it ends.
[[nodiscard]] ProgramResult run_program(const std::vector<std::string>& arguments, Stdout out = Stdout::captured,
                                        const std::string& directory = {});

}  // namespace esmm::test
