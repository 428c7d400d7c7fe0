#include "engine/cli/pack_progress.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <memory>
#include <optional>

#include "engine/cli/progress.hpp"

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

/// One bar after the other.
class Stages {
 public:
  explicit Stages(std::uint64_t text_bytes) : text_megabytes_(text_bytes / 1'000'000) {}

  void update(const std::string& stage, std::uint64_t rows, std::uint64_t text_bytes) {
    if (stage != stage_) {
      bar_.reset();  // removes the old one before the new one is drawn
      bar_.emplace("packing: " + stage, text_bytes > 0 ? text_megabytes_ : 0, text_bytes > 0 ? "MB" : "rows");
      stage_ = stage;
    }
    if (text_bytes > 0) {
      bar_->update(text_bytes / 1'000'000, short_number(static_cast<double>(rows)) + " rows");
    } else {
      bar_->update(rows);
    }
  }

 private:
  std::uint64_t text_megabytes_;
  std::string stage_;
  std::optional<Progress> bar_;
};

}  // namespace

void show_pack_progress(PackOptions& options, const std::vector<std::string>& files) {
  if (!options.progress) {
    options.progress = [stages = std::make_shared<Stages>(known_text_bytes(files))](
                           const char* stage, std::uint64_t rows, std::uint64_t text_bytes) {
      stages->update(stage, rows, text_bytes);
    };
  }
  if (!options.warn) options.warn = [](const std::string& line) { spdlog::warn("{}", line); };
}

}  // namespace esmm
