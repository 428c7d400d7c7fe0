#pragma once
#include <span>
#include <string>
#include <vector>

namespace esmm::fuzz {

/// A reader that must survive any input: it accepts it or throws Error, and does nothing else.
struct Target {
  std::string name;
  void (*read)(const std::string& input);
  std::vector<std::string> seeds;  // good inputs, to be mutated
};

/// raw Ali-CCP, CSV, field:id text, blocks and manifests of packed datasets, vocabularies, safetensors, TOML.
[[nodiscard]] std::vector<Target> targets();

/// Reads the input; Errors that the target may throw are what it should do. Anything else passes through.
void run(const Target& target, const std::string& input);

}  // namespace esmm::fuzz
