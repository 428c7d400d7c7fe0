#include "engine/cli/pack_progress.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <memory>
#include <optional>

#include "engine/cli/progress.hpp"
#include "engine/interrupt.hpp"
#include "kernels/error.hpp"

namespace esmm {

namespace {

/// Bytes of text in the files, or 0 when one of them is compressed and that is not known.
std::uint64_t known_text_bytes(const std::vector<std::string>& files) {
  std::uint64_t bytes = 0;
  for (const std::string& file : files) {
    if (file.ends_with(".gz") || file.ends_with(".zst")) return 0;
    std::error_code ignored;
    bytes += std::filesystem::file_size(file, ignored);
  }
  return bytes;
}

/// One bar after the other: the text is read, then the rows found in it go through the other stages.
class Stages {
 public:
  explicit Stages(std::uint64_t text_bytes) : text_bytes_(text_bytes) {}

  void update(const std::string& stage, std::uint64_t rows, std::uint64_t text_bytes) {
    const bool reading = stage == "read";
    if (stage != stage_) {
      bar_.reset();  // removes the old one before the new one is drawn
      bar_.emplace("packing: " + stage, reading ? text_bytes_ / kMegabyte : rows_, reading ? "MB" : "rows");
      stage_ = stage;
    }
    if (reading) {
      rows_ = rows;
      bar_->update(text_bytes / kMegabyte, short_number(static_cast<double>(rows)) + " rows");
    } else {
      bar_->update(rows);
    }
  }

 private:
  static constexpr std::uint64_t kMegabyte = 1'000'000;
  std::uint64_t text_bytes_;
  std::uint64_t rows_ = 0;
  std::string stage_;
  std::optional<Progress> bar_;
};

}  // namespace

void show_pack_progress(PackOptions& options, const std::vector<std::string>& files) {
  if (!options.progress) {
    options.progress = [stages = std::make_shared<Stages>(known_text_bytes(files))](
                           const char* stage, std::uint64_t rows, std::uint64_t text_bytes) {
      if (interrupted()) throw Error(ExitCode::interrupted, "interrupted while packing; nothing of it was kept.");
      stages->update(stage, rows, text_bytes);
    };
  }
  if (!options.warn) options.warn = [](const std::string& line) { spdlog::warn("{}", line); };
}

}  // namespace esmm
