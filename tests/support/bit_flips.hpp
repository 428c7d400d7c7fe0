#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace esmm::test {

/// A file whose first bytes are a header; the rest is payload.
struct FlippedFile {
  std::string path;
  std::uint64_t header_bytes = 0;
};

/// Flips bits of the files in place, one at a time, and flips them back; fails for each after which `is_whole()` is
/// still true. Random, seeded: 200 bits of the headers and 200 of the payloads; with ESMM_BIT_FLIPS=N in the
/// environment every bit of the headers and N of the payloads.
void expect_flips_found(const std::vector<FlippedFile>& files, const std::function<bool()>& is_whole);

}  // namespace esmm::test
