// Reads seeds, past crashes and a bounded number of mutations of both with every target. Needs no clang; the same
// numbers give the same inputs.
//
// usage: fuzz_replay CORPUS [MUTATIONS [SEED]]
//        fuzz_replay --write-seeds DIR      DIR/<target>/seed-<n>, for a fuzzer to begin with
// CORPUS/<target>/* are inputs that once failed, or that reach what mutations of the seeds do not.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "tests/fuzz/targets.hpp"
#include "tests/support/temporary_directory.hpp"

namespace {

namespace fs = std::filesystem;
using esmm::fuzz::Target;

constexpr std::size_t kLargest = 4096;

/// A few changes of the kinds that break readers: bits, bytes of meaning, lengths, pieces of other inputs.
std::string mutate(std::string input, const std::vector<std::string>& others, std::mt19937_64& random) {
  const auto below = [&](std::size_t end) {
    return static_cast<std::size_t>(random() % std::max<std::size_t>(end, 1));
  };
  const std::string_view special("\0\xff\x7f\x80\n\r,:\"\\\x01\x02\x03-.E[]{}09 ", 23);
  const char* const numbers[] = {
      "-1",    "0",   "4294967295", "4294967296", "9223372036854775807", "18446744073709551615", "18446744073709551616",
      "1e999", "nan", "0x10"};
  for (std::size_t changes = 1 + below(4); changes > 0; --changes) {
    const std::size_t at = below(input.size());
    switch (random() % 8) {
      case 0:
        if (!input.empty()) input[at] = static_cast<char>(input[at] ^ (1 << (random() % 8)));
        break;
      case 1:
        if (!input.empty()) input[at] = special[below(special.size())];
        break;
      case 2:
        input.insert(at, 1, special[below(special.size())]);
        break;
      case 3:
        input.erase(at, 1 + below(8));
        break;
      case 4:
        input.insert(at, input.substr(below(input.size()), below(32)));
        break;
      case 5:
        input.resize(at);
        break;
      case 6: {
        const std::string& other = others[below(others.size())];
        input.insert(at, other.substr(below(other.size()), below(64)));
        break;
      }
      default: {  // a number becomes another
        const std::size_t digit = input.find_first_of("0123456789", at);
        if (digit == std::string::npos) break;
        const std::size_t end = std::min(input.find_first_not_of("0123456789", digit), input.size());
        input.replace(digit, end - digit, numbers[below(std::size(numbers))]);
      }
    }
  }
  input.resize(std::min(input.size(), kLargest));
  return input;
}

/// What a crash leaves to look at.
std::string current_input;
const char* current_target = "";

void keep_current_input() {
  const std::string path = fmt::format("crash-{}", current_target);
  esmm::test::write_bytes(path, current_input);
  fmt::print(stderr, "fuzz_replay: {} failed; its input is in {}\n", current_target, path);
}

void read(const Target& target, std::string input) {
  current_input = std::move(input);
  current_target = target.name.c_str();
  esmm::fuzz::run(target, current_input);
}

void write_seeds(const fs::path& directory) {
  for (const Target& target : esmm::fuzz::targets()) {
    fs::create_directories(directory / target.name);
    for (std::size_t i = 0; i < target.seeds.size(); ++i)
      esmm::test::write_bytes(directory / target.name / fmt::format("seed-{}", i), target.seeds[i]);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fputs("usage: fuzz_replay CORPUS [MUTATIONS [SEED]]\n", stderr), 2;
  if (argc == 3 && std::string_view(argv[1]) == "--write-seeds") return write_seeds(argv[2]), 0;
  const std::size_t mutations = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  std::mt19937_64 random(argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1);
  try {
    for (const Target& target : esmm::fuzz::targets()) {
      for (const std::string& seed : target.seeds) target.read(seed);  // one that is refused would lead nowhere
      std::vector<std::string> inputs = target.seeds, paths;
      std::error_code none;
      for (const auto& file : fs::directory_iterator(fs::path(argv[1]) / target.name, none))
        paths.push_back(file.path().string());
      std::sort(paths.begin(), paths.end());
      for (const std::string& path : paths) inputs.push_back(esmm::test::read_bytes(path));
      for (const std::string& input : inputs) read(target, input);
      for (std::size_t i = 0; i < mutations; ++i)
        read(target, mutate(inputs[static_cast<std::size_t>(random() % inputs.size())], inputs, random));
      fmt::print("{}: {} inputs and {} mutations\n", target.name, inputs.size(), mutations);
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "fuzz_replay: {}\n", error.what());
    return keep_current_input(), 1;
  }
  return 0;
}
