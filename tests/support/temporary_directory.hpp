#pragma once
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>

namespace esmm::test {

[[nodiscard]] inline std::string read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Overwrites in place where the size allows: thousands of new files are slow on a journalling file system.
inline void write_bytes(const std::string& path, std::string_view bytes) {
  const bool fits = std::filesystem::exists(path) && std::filesystem::file_size(path) == bytes.size();
  std::ofstream out(path, fits ? std::ios::binary | std::ios::in | std::ios::out : std::ios::binary | std::ios::out);
  out << bytes << std::flush;
  if (!out) throw std::runtime_error("cannot write " + path);
}

/// A new directory under the system's temporary directory; removed with all that is in it at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "esmm_test_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] std::string operator/(std::string_view name) const { return (path_ / name).string(); }
  [[nodiscard]] std::string path() const { return path_.string(); }
  /// Writes a file, and the directories above it; returns its path.
  std::string write(std::string_view name, std::string_view content) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    write_bytes(file.string(), content);
    return file.string();
  }

 private:
  std::filesystem::path path_;
};

}  // namespace esmm::test
