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
  std::string innermost, outermost;  // of the inlined functions, without the harness's
  if (const std::unique_ptr<FILE, int (*)(FILE*)> lines{popen(command, "r"), pclose}) {
    char line[512];
    while (std::fgets(line, sizeof(line), lines.get()) != nullptr) {
      std::string text = line;
      if (text.find("/tests/simt/") != std::string::npos && text.find(".hpp:") != std::string::npos) continue;
      if (text.find("/launch.cuh:") != std::string::npos) continue;
      text.erase(0, text.rfind('/') + 1);
      text.erase(text.find_last_not_of(" \n") + 1);
      if (const auto note = text.find(" (discriminator"); note != std::string::npos) text.erase(note);
      if (innermost.empty()) innermost = text;
      outermost = text;
    }
  }
  if (innermost.empty() || innermost.starts_with("?")) {
    std::snprintf(command, sizeof(command), "address 0x%zx", return_address - program_base());
    return command;
  }
  return innermost == outermost ? innermost : innermost + " (from " + outermost + ")";
}

}  // namespace simt
