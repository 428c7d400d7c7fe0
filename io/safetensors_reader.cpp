#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "io/file.hpp"
#include "io/safetensors_format.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

using namespace safetensors;
using nlohmann::json;

constexpr std::uint64_t kLargestHeader = 100'000'000;  // the limit of the reference implementation

struct Entry {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;  // within the data section
};

template <class... Args>
Error corrupt(const std::string& path, fmt::format_string<Args...> format, Args&&... args) {
  return data_error("{}: {}. The file is damaged or not safetensors; write it again.", path,
                    fmt::format(format, std::forward<Args>(args)...));
}

Entry parse_entry(const std::string& path, const std::string& name, const json& value) {
  Entry entry;
  try {
    entry.dtype = value.at("dtype").get<std::string>();
    for (const json& extent : value.at("shape")) {
      if (!extent.is_number_unsigned() || extent.get<std::uint64_t>() > std::uint64_t{INT64_MAX}) {
        throw corrupt(path, "tensor \"{}\": bad shape", name);
      }
      entry.shape.push_back(extent.get<std::int64_t>());
    }
    const json& offsets = value.at("data_offsets");
    if (offsets.size() != 2 || !offsets.at(0).is_number_unsigned() || !offsets.at(1).is_number_unsigned()) {
      throw corrupt(path, "tensor \"{}\": bad data_offsets", name);
    }
    entry.begin = offsets.at(0).get<std::uint64_t>();
    entry.end = offsets.at(1).get<std::uint64_t>();
  } catch (const json::exception&) {
    throw corrupt(path, "tensor \"{}\": needs dtype, shape and data_offsets", name);
  }
  if (element_bytes(entry.dtype) == 0) throw corrupt(path, "tensor \"{}\": unknown dtype {}", name, entry.dtype);
  std::uint64_t bytes = 0;
  if (!tensor_bytes(entry.dtype, entry.shape, bytes) || entry.begin > entry.end || entry.end - entry.begin != bytes) {
    throw corrupt(path, "tensor \"{}\": data_offsets [{}, {}) do not match its shape", name, entry.begin, entry.end);
  }
  return entry;
}

/// Tensors must fill the data section in some order, without gaps or overlaps.
void check_layout(const std::string& path, const std::map<std::string, Entry>& entries, std::uint64_t data_bytes) {
  std::vector<const std::pair<const std::string, Entry>*> by_offset;
  for (const auto& item : entries) by_offset.push_back(&item);
  std::sort(by_offset.begin(), by_offset.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  std::uint64_t expected = 0;
  for (const auto* item : by_offset) {
    const auto& [name, entry] = *item;
    if (entry.end > data_bytes) {
      throw corrupt(path, "tensor \"{}\" ends at byte {} of {} (truncated?)", name, entry.end, data_bytes);
    }
    if (entry.begin != expected) {
      throw corrupt(path, "tensor \"{}\" begins at byte {} instead of {}", name, entry.begin, expected);
    }
    expected = entry.end;
  }
  if (expected != data_bytes) throw corrupt(path, "{} bytes after the last tensor", data_bytes - expected);
}

bool same_shape(std::span<const std::int64_t> shape, std::int64_t rows, std::int64_t cols) {
  if (shape.empty()) return rows == 1 && cols == 1;
  if (shape.size() == 1) return (rows == 1 && cols == shape[0]) || (cols == 1 && rows == shape[0]);
  std::int64_t leading = 1;
  for (const std::int64_t extent : shape.first(shape.size() - 1)) leading *= extent;
  return leading == rows && shape.back() == cols;
}

}  // namespace

struct SafetensorsFile::Impl {
  explicit Impl(const std::string& path_) : path(path_), file(File::open(path_)) {
    const std::uint64_t size = file.size();
    std::uint64_t length = 0;
    if (size < sizeof length) throw corrupt(path, "{} bytes are too few for a header", size);
    file.read_at(0, std::as_writable_bytes(std::span(&length, 1)));
    if (length > size - sizeof length || length > kLargestHeader) {
      throw corrupt(path, "header length {} exceeds the file", length);
    }
    std::string text(static_cast<std::size_t>(length), '\0');
    file.read_at(sizeof length, std::as_writable_bytes(std::span(text)));
    data = sizeof length + length;
    const json header = json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!header.is_object()) throw corrupt(path, "the header is not a JSON object");
    for (const auto& [name, value] : header.items()) {
      if (name == "__metadata__") {
        parse_metadata(value);
      } else {
        entries.emplace(name, parse_entry(path, name, value));
      }
    }
    check_layout(path, entries, size - data);
    check_seal(text);
  }

  /// All or nothing: a file with checksums has one for its header and for each of its tensors.
  void check_seal(std::string& header) const {
    const std::optional<std::string> seal = take_seal(header);
    if (!seal && checksums.empty()) return;
    if (!seal || *seal != seal_of(header) || checksums.size() != entries.size()) {
      throw corrupt(path, "the header does not match its checksum");
    }
  }

  void parse_metadata(const json& value) {
    if (!value.is_object()) throw corrupt(path, "__metadata__ is not an object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) throw corrupt(path, "__metadata__ entry \"{}\" is not a string", key);
      if (key.starts_with(kChecksumPrefix)) {
        checksums[key.substr(kChecksumPrefix.size())] = text.get<std::string>();
      } else if (key != "xxh3") {
        metadata[key] = text.get<std::string>();
      }
    }
  }

  [[nodiscard]] const Entry& entry(const std::string& name) const {
    const auto found = entries.find(name);
    if (found == entries.end()) {
      throw data_error("{}: has no tensor \"{}\". It belongs to another model or version.", path, name);
    }
    return found->second;
  }

  /// Calls use(piece, place of its first byte in the tensor) for consecutive pieces of the tensor, then checks them
  /// all.
  template <class Use>
  void read_checked(const std::string& name, std::size_t piece_bytes, const Use& use) const {
    const Entry& found = entry(name);
    const std::uint64_t bytes = found.end - found.begin;
    Hasher hasher;
    std::vector<std::byte> buffer(static_cast<std::size_t>(std::min<std::uint64_t>(piece_bytes, bytes)));
    for (std::uint64_t at = 0; at < bytes; at += piece_bytes) {
      const auto piece =
          std::span(buffer).first(static_cast<std::size_t>(std::min<std::uint64_t>(piece_bytes, bytes - at)));
      file.read_at(data + found.begin + at, piece);
      hasher.add(piece);
      use(std::span<const std::byte>(piece), static_cast<std::size_t>(at));
    }
    const auto checksum = checksums.find(name);
    if (checksum != checksums.end() && checksum->second != hasher.digest()) {
      throw corrupt(path, "tensor \"{}\" does not match its checksum", name);
    }
  }

  std::string path;
  File file;
  std::uint64_t data = 0;  // where the tensors begin
  std::map<std::string, Entry> entries;
  std::map<std::string, std::string> metadata, checksums;
};

SafetensorsFile::SafetensorsFile(const std::string& path) : impl_(std::make_unique<Impl>(path)) {}
SafetensorsFile::~SafetensorsFile() = default;

const std::map<std::string, std::string>& SafetensorsFile::metadata() const {
  return impl_->metadata;
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> result;
  for (const auto& [name, entry] : impl_->entries) result.push_back(name);
  return result;
}

bool SafetensorsFile::has(const std::string& name) const {
  return impl_->entries.contains(name);
}

std::vector<std::int64_t> SafetensorsFile::shape(const std::string& name) const {
  return impl_->entry(name).shape;
}

std::vector<std::byte> SafetensorsFile::bytes(const std::string& name) const {
  const Entry& entry = impl_->entry(name);
  std::vector<std::byte> all(static_cast<std::size_t>(entry.end - entry.begin));
  impl_->read_checked(name, kChunkBytes, [&](std::span<const std::byte> piece, std::size_t at) {
    std::copy(piece.begin(), piece.end(), all.begin() + static_cast<std::ptrdiff_t>(at));
  });
  return all;
}

void SafetensorsFile::verify() const {
  for (const std::string& name : names()) {
    impl_->read_checked(name, kChunkBytes, [](std::span<const std::byte>, std::size_t) {});
  }
}

void SafetensorsFile::read(const std::string& name, float* to, std::int64_t rows, std::int64_t cols,
                           std::int64_t stride, Memory* memory) const {
  const Entry& entry = impl_->entry(name);
  if (entry.dtype != "F32" || !same_shape(entry.shape, rows, cols)) {
    throw data_error("{}: tensor \"{}\" is {} [{}] where F32 [{}, {}] is needed. It belongs to another model.",
                     impl_->path, name, entry.dtype, fmt::join(entry.shape, ", "), rows, cols);
  }
  if (rows == 0 || cols == 0) return;
  Staging staging;
  const StridedTensor target = cut_single_row({name, to, rows, cols, stride, {}, memory});
  const auto row_bytes = static_cast<std::size_t>(target.cols) * sizeof(float);
  const auto piece_bytes = static_cast<std::size_t>(rows_per_piece(target.stride)) * row_bytes;
  impl_->read_checked(name, piece_bytes, [&](std::span<const std::byte> piece, std::size_t at) {
    const auto first = static_cast<std::int64_t>(at / row_bytes),
               count = static_cast<std::int64_t>(piece.size() / row_bytes);
    float* const place = to + first * target.stride;
    if (memory == nullptr) return copy_rows(piece.data(), target.cols, place, target.stride, count, target.cols);
    staging.fetched.resize(static_cast<std::size_t>((count - 1) * target.stride + target.cols));
    if (target.stride != target.cols)
      (void)rows_on_host(target, first, count, staging);  // for what is between the rows
    copy_rows(piece.data(), target.cols, staging.fetched.data(), target.stride, count, target.cols);
    memory->copy_from_host(place, staging.fetched.data(), staging.fetched.size() * sizeof(float));
  });
}

}  // namespace esmm
