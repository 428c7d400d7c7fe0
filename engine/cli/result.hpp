#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace esmm {

/// What a command found or did: the same for people and for scripts.
struct Result {
  std::string text;
  nlohmann::ordered_json json;
};

/// Writes a command's result to stdout. A reader that has closed the pipe is no error (`esmm_gpu inspect x | head`);
/// any other failure is Error (io).
void print_result(std::string_view text);
/// The text, or with --json the one document.
void print_result(const Result& result, bool as_json);

}  // namespace esmm
