#pragma once
#include <string>
#include <vector>

namespace esmm {

/// What the program says of itself: --help, the shells' completions and the manual page are made from the same.
struct FlagText {
  std::string name;   // "--batch-size"; without dashes: a positional argument
  std::string value;  // placeholder or choices ("adam|sgd"); empty: a switch
  std::string group, help;
};
struct CommandText {
  std::string name, purpose;
  std::vector<FlagText> flags;        // in groups
  std::vector<std::string> examples;  // command lines
};

/// A script that teaches bash or zsh commands, flags, their values and where a file is wanted.
[[nodiscard]] std::string bash_completion(const std::vector<CommandText>& commands);
[[nodiscard]] std::string zsh_completion(const std::vector<CommandText>& commands);
/// A manual page (section 1) in man(7) macros.
[[nodiscard]] std::string manual_page(const std::vector<CommandText>& commands, const std::string& version);

}  // namespace esmm
