#include "tests/simt/race_symbols.hpp"

#include <link.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

namespace simt {

std::uintptr_t program_base() {
  static const std::uintptr_t base = [] {
    std::uintptr_t address = 0;
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t /*bytes*/, void* result) {
          *static_cast<std::uintptr_t*>(result) = info->dlpi_addr;
          return 1;  // the program comes first
        },
        &address);
    return address;
  }();
  return base;
}

std::string source_place(std::uintptr_t return_address) {
  char command[128];
  std::snprintf(command, sizeof(command), "addr2line -i -e /proc/%d/exe 0x%zx 2>/dev/null", getpid(),
                return_address - 1 - program_base());
  std::string innermost, outermost, of_harness;  // of the inlined functions
  if (const std::unique_ptr<FILE, int (*)(FILE*)> lines{popen(command, "r"), pclose}) {
    char line[512];
    while (std::fgets(line, sizeof(line), lines.get()) != nullptr) {
      std::string text = line;
      const bool header = text.find(".hpp:") != std::string::npos && text.find("/tests/simt/") != std::string::npos;
      const bool harness = header || text.find("/launch.cuh:") != std::string::npos;
      text.erase(0, text.rfind('/') + 1);
      if (harness) {
        if (of_harness.empty()) of_harness = text;
        continue;
      }
      text.erase(text.find_last_not_of(" \n") + 1);
      if (const auto note = text.find(" (discriminator"); note != std::string::npos) text.erase(note);
      if (innermost.empty()) innermost = text;
      outermost = text;
    }
  }
  if (innermost.empty()) innermost = outermost = of_harness;
  if (innermost.empty() || innermost.starts_with("?")) {
    std::snprintf(command, sizeof(command), "address 0x%zx", return_address - program_base());
    return command;
  }
  return innermost == outermost ? innermost : innermost + " (from " + outermost + ")";
}

}  // namespace simt
