#include "engine/fingerprint.hpp"

#include <fmt/format.h>
#include <xxhash.h>

#include <filesystem>

#include "engine/config_options.hpp"
#include "kernels/error.hpp"

namespace esmm {

namespace {

namespace fs = std::filesystem;

std::string describe_file(const std::string& file) {
  std::error_code error;
  const std::uint64_t size = fs::file_size(file, error);
  if (error) throw io_error("{}: {}.", file, error.message());
  const auto modified = fs::last_write_time(file, error).time_since_epoch().count();
  if (error) throw io_error("{}: {}.", file, error.message());
  return fmt::format("file {} {} {}\n", fs::absolute(file).lexically_normal().string(), size, modified);
}

std::string describe_encoding(const PackOptions& pack) {
  if (pack.vocabulary) return fmt::format("vocabulary {}\n", pack.vocabulary->hash());
  if (pack.encoding == Encoding::hash) return fmt::format("hash {} {}\n", pack.buckets, pack.min_count);
  return fmt::format("count {}\n", pack.min_count);
}

}  // namespace

std::string fingerprint(const DatasetRequest& request, const std::vector<std::string>& files) {
  std::string text = fmt::format("esmm_gpu {}\n", ESMM_VERSION);
  for (const std::string& file : files) text += describe_file(file);
  text += describe_encoding(request.pack);
  text += fmt::format("bad rows {}\ncontradictions {}\nlabels {}\n", name_of(request.pack.on_bad_row),
                      name_of(request.pack.on_contradiction), request.labels_required);
  if (request.schema) text += schema_to_toml(*request.schema);
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

}  // namespace esmm
