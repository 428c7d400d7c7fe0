#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "io/messages.hpp"
#include "io/parquet.hpp"
#include "io/readers.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSkeleton = "sample_skeleton_";
constexpr std::string_view kCommon = "common_features_";
constexpr const char* kExpected =
    "a packed dataset, a directory with sample_skeleton_*.csv and common_features_*.csv, a .csv, .tsv or .txt file "
    "(each also .gz or .zst), or a .parquet file or a directory of them";

/// The name beneath .gz or .zst.
std::string plain_name(const std::string& path) {
  std::string name = base_name(path);
  for (const std::string_view suffix : {".gz", ".zst"}) {
    if (name.ends_with(suffix)) return name.substr(0, name.size() - suffix.size());
  }
  return name;
}

/// The part of sample_skeleton_<part>.csv[.gz|.zst], if that is what the name is.
std::optional<std::string> skeleton_part(const std::string& file) {
  constexpr std::string_view extension = ".csv";
  const std::string name = plain_name(file);
  if (!name.starts_with(kSkeleton) || !name.ends_with(extension)) return std::nullopt;
  if (name.size() <= kSkeleton.size() + extension.size()) return std::nullopt;
  return name.substr(kSkeleton.size(), name.size() - kSkeleton.size() - extension.size());
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// Path of <prefix><part>.csv in the directory, plain before compressed; empty if there is none.
std::string find_file(const std::string& directory, std::string_view prefix, const std::string& part) {
  for (const char* suffix : {"", ".gz", ".zst"}) {
    const fs::path path = fs::path(directory) / fmt::format("{}{}.csv{}", prefix, part, suffix);
    if (is_there(path)) return path.string();
  }
  return {};
}

bool is_parquet(const fs::path& path) {
  return equal_ignoring_case(path.extension().string(), ".parquet");
}

/// Calls visit(entry) for everything in the directory, in no order.
template <class Visit>
void for_each_entry(const std::string& directory, Visit visit) {
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    visit(*entry);
  }
  if (error) throw io_error("{}: cannot list the directory: {}", directory, error.message());
}

/// Parts of all skeleton files: train, test, then the others by name.
std::vector<std::string> skeleton_parts(const std::string& directory) {
  std::vector<std::string> parts;
  for_each_entry(directory, [&](const fs::directory_entry& entry) {
    if (auto part = skeleton_part(entry.path().filename().string())) parts.push_back(*std::move(part));
  });
  const auto rank = [](const std::string& part) { return part == "train" ? 0 : part == "test" ? 1 : 2; };
  std::sort(parts.begin(), parts.end(),
            [&](const std::string& a, const std::string& b) { return rank(a) != rank(b) ? rank(a) < rank(b) : a < b; });
  parts.erase(std::unique(parts.begin(), parts.end()), parts.end());
  return parts;
}

PathKind classify_directory(const std::string& path) {
  if (is_there(fs::path(path) / "manifest.json")) return PathKind::packed;
  if (is_there(fs::path(path) / "train" / "manifest.json")) return PathKind::packed_halves;
  if (!skeleton_parts(path).empty()) return PathKind::ali_ccp_directory;
  if (!parquet_files(path).empty()) return PathKind::parquet;
  throw data_error("{}: a directory without manifest.json and without sample_skeleton_*.csv files. Pass {}.", path,
                   kExpected);
}

PathKind classify_file(const std::string& path) {
  const std::string name = plain_name(path);
  if (name.starts_with(kSkeleton) || name.starts_with(kCommon)) {
    const std::string directory = fs::path(path).parent_path().string();
    throw data_error("{}: one file of a raw Ali-CCP pair. Pass its directory: {}", path,
                     directory.empty() ? "." : directory);
  }
  const std::string extension = fs::path(name).extension().string();
  if (equal_ignoring_case(extension, ".csv")) return PathKind::csv;
  if (equal_ignoring_case(extension, ".tsv")) return PathKind::tsv;
  if (equal_ignoring_case(extension, ".txt")) return PathKind::text;
  if (is_parquet(path)) return PathKind::parquet;
  throw data_error("{}: the name does not tell a format. Pass {}.", path, kExpected);
}

}  // namespace

std::string base_name(const std::string& path) {
  return fs::path(path).filename().string();
}

std::vector<HalfFiles> find_halves(const std::string& directory, Half half) {
  std::vector<std::string> parts;
  if (half == Half::whole) {
    parts = skeleton_parts(directory);
  } else {
    parts.emplace_back(half == Half::train ? "train" : "test");
  }
  std::vector<HalfFiles> halves;
  for (const std::string& part : parts) {
    const std::string skeleton = find_file(directory, kSkeleton, part);
    if (!skeleton.empty()) halves.push_back({skeleton, find_file(directory, kCommon, part)});
  }
  return halves;
}

std::vector<std::string> parquet_files(const std::string& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<std::string> files;
  for_each_entry(path, [&](const fs::directory_entry& entry) {
    const std::string name = entry.path().filename().string();
    if (is_parquet(name) && name[0] != '_' && name[0] != '.' && !entry.is_directory()) {
      files.push_back(entry.path().string());
    }
  });
  std::sort(files.begin(), files.end());
  return files;
}

bool has_half(const std::string& directory, Half half) {
  const std::vector<HalfFiles> halves = find_halves(directory, half);
  return !halves.empty() &&
         std::none_of(halves.begin(), halves.end(), [](const HalfFiles& files) { return files.common.empty(); });
}

PathKind classify_path(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) throw io_error("{}: {}. Check the path.", path, std::strerror(ENOENT));
  if (error) throw io_error("{}: {}", path, error.message());
  if (status.type() != fs::file_type::directory && status.type() != fs::file_type::regular) {
    throw data_error("{}: neither a file nor a directory; a log is read more than once. Write it to a file first.",
                     path);
  }
  const bool is_directory = status.type() == fs::file_type::directory;
  if (::access(path.c_str(), is_directory ? R_OK | X_OK : R_OK) != 0) {
    throw io_error("{}: {}", path, std::strerror(errno));
  }
  return is_directory ? classify_directory(path) : classify_file(path);
}

std::unique_ptr<LogReader> open_log(const std::string& path, const ReaderOptions& options) {
  switch (classify_path(path)) {
    case PathKind::ali_ccp_directory:
      return open_ali_ccp_log(path, options);
    case PathKind::csv:
      return open_csv_log(path, ',', options);
    case PathKind::tsv:
      return open_csv_log(path, '\t', options);
    case PathKind::text:
      return open_field_id_log(path, options);
    case PathKind::parquet:
      return open_parquet_log(path, options);
    case PathKind::packed:
    case PathKind::packed_halves:
      break;
  }
  throw internal_error("{}: a packed dataset was opened as a raw log", path);
}

}  // namespace esmm
