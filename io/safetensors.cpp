#include "io/safetensors.hpp"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "io/file.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

using nlohmann::json;

constexpr std::string_view checksum_prefix = "xxh3:";
constexpr std::int64_t float_bytes = sizeof(float);
constexpr std::size_t chunk_bytes = 4 << 20;
constexpr std::uint64_t largest_header = 100'000'000;  // the limit of the reference implementation

/// Bytes of an element of a safetensors dtype; 0 when there is no such dtype.
std::uint64_t element_bytes(std::string_view dtype) {
  static const std::map<std::string_view, std::uint64_t> known = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"U16", 2}, {"I16", 2}, {"F16", 2},
      {"BF16", 2}, {"U32", 4}, {"I32", 4}, {"F32", 4},     {"U64", 8},     {"I64", 8}, {"F64", 8}};
  const auto found = known.find(dtype);
  return found == known.end() ? 0 : found->second;
}

/// Bytes of a tensor; false when the shape is negative or the product overflows.
bool tensor_bytes(std::string_view dtype, std::span<const std::int64_t> shape, std::uint64_t& bytes) {
  bytes = element_bytes(dtype);
  return std::all_of(shape.begin(), shape.end(), [&](std::int64_t extent) {
    return extent >= 0 && !__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes);
  });
}

std::string hex(std::uint64_t hash) {
  return fmt::format("{:016x}", hash);
}

/// What the writer needs of a tensor of either kind.
struct Source {
  std::string name, dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t bytes = 0;
  const StridedTensor* floats = nullptr;  // null: contiguous
  std::span<const std::byte> contiguous;
};

/// Host memory that pieces of tensors pass through.
struct Staging {
  std::vector<float> fetched;  // from another memory, with the padding
  std::vector<float> packed;   // without
};

/// Rows [first, first + count) of the tensor on the host, with their stride; fetched when they are elsewhere.
const float* rows_on_host(const StridedTensor& tensor, std::int64_t first, std::int64_t count, Staging& staging) {
  const float* from = tensor.data + first * tensor.stride;
  if (tensor.memory == nullptr) return from;
  staging.fetched.resize(static_cast<std::size_t>((count - 1) * tensor.stride + tensor.cols));
  tensor.memory->copy_to_host(staging.fetched.data(), from, staging.fetched.size() * sizeof(float));
  return staging.fetched.data();
}

/// `rows` rows of `cols` floats from one stride to another, both on the host; in a file floats need not be aligned.
void copy_rows(const void* from, std::int64_t from_stride, float* to, std::int64_t to_stride, std::int64_t rows,
               std::int64_t cols) {
  const bool contiguous = from_stride == cols && to_stride == cols;
  const auto bytes = static_cast<std::size_t>(contiguous ? rows * cols : cols) * sizeof(float);
  for (std::int64_t r = 0; r < (contiguous ? 1 : rows); ++r) {
    std::memcpy(to + r * to_stride, static_cast<const std::byte*>(from) + r * from_stride * float_bytes, bytes);
  }
}

/// How many rows with this stride are moved at a time.
std::int64_t rows_per_piece(std::int64_t stride) {
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(chunk_bytes / sizeof(float)) / stride);
}

/// A long vector is cut as well: its elements become rows.
StridedTensor cut_single_row(const StridedTensor& tensor) {
  StridedTensor cut = tensor;
  if (tensor.rows == 1) {
    cut.rows = tensor.cols;
    cut.cols = cut.stride = 1;
  }
  return cut;
}

/// Calls use(span of bytes) for consecutive pieces of the tensor.
template <class Use>
void for_each_piece(const Source& source, Staging& staging, Use&& use) {
  if (source.floats == nullptr) {
    for (std::uint64_t at = 0; at < source.bytes; at += chunk_bytes) {
      use(source.contiguous.subspan(static_cast<std::size_t>(at),
                                    static_cast<std::size_t>(std::min<std::uint64_t>(chunk_bytes, source.bytes - at))));
    }
    return;
  }
  const StridedTensor tensor = cut_single_row(*source.floats);
  if (tensor.cols == 0) return;
  for (std::int64_t first = 0; first < tensor.rows; first += rows_per_piece(tensor.stride)) {
    const std::int64_t count = std::min(rows_per_piece(tensor.stride), tensor.rows - first);
    const auto floats = static_cast<std::size_t>(count * tensor.cols);
    const float* rows = rows_on_host(tensor, first, count, staging);
    if (tensor.stride != tensor.cols) {
      staging.packed.resize(floats);
      copy_rows(rows, tensor.stride, staging.packed.data(), tensor.cols, count, tensor.cols);
      rows = staging.packed.data();
    }
    use(std::as_bytes(std::span(rows, floats)));
  }
}

/// XXH3-64 of pieces.
class Hasher {
 public:
  Hasher() : state_(XXH3_createState(), &XXH3_freeState) { XXH3_64bits_reset(state_.get()); }
  void add(std::span<const std::byte> piece) { XXH3_64bits_update(state_.get(), piece.data(), piece.size()); }
  [[nodiscard]] std::string digest() const { return hex(XXH3_64bits_digest(state_.get())); }

 private:
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_;
};

std::string checksum(const Source& source, Staging& staging) {
  Hasher hasher;
  for_each_piece(source, staging, [&](std::span<const std::byte> piece) { hasher.add(piece); });
  return hasher.digest();
}

std::vector<Source> collect(const std::vector<StridedTensor>& floats, const std::map<std::string, TensorView>& others) {
  std::vector<Source> sources;
  for (const StridedTensor& tensor : floats) {
    const auto bytes = static_cast<std::uint64_t>(tensor.rows * tensor.cols) * sizeof(float);
    sources.push_back({tensor.name, "F32", tensor.shape, bytes, &tensor, {}});
  }
  for (const auto& [name, tensor] : others) {
    sources.push_back({name, tensor.dtype, tensor.shape, tensor.bytes.size(), nullptr, tensor.bytes});
  }
  // Wider elements first, so that every tensor is aligned to its element (readers map the file and cast).
  std::sort(sources.begin(), sources.end(), [](const Source& a, const Source& b) {
    const std::uint64_t a_element = element_bytes(a.dtype);
    const std::uint64_t b_element = element_bytes(b.dtype);
    return a_element != b_element ? a_element > b_element : a.name < b.name;
  });
  for (const Source& source : sources) {
    std::uint64_t expected = 0;
    if (element_bytes(source.dtype) == 0 || !tensor_bytes(source.dtype, source.shape, expected) ||
        expected != source.bytes || source.name == "__metadata__") {
      throw internal_error("safetensors: tensor \"{}\" ({}, {} bytes) does not match its shape or dtype", source.name,
                           source.dtype, source.bytes);
    }
  }
  return sources;
}

/// The header's own checksum is of the header with zeros in its place; null when it has none.
constexpr std::string_view seal_mark = "\"xxh3\":\"", seal_zeros = "0000000000000000";

std::optional<std::string> take_seal(std::string& header) {
  const std::size_t at = header.find(seal_mark);
  if (at == std::string::npos || header.size() - at - seal_mark.size() < seal_zeros.size()) return std::nullopt;
  const std::string seal = header.substr(at + seal_mark.size(), seal_zeros.size());
  header.replace(at + seal_mark.size(), seal_zeros.size(), seal_zeros);
  return seal;
}

/// The header with its length in front, sealed and padded with spaces to a multiple of 8.
std::string encode_header(const json& header, const std::string& path) {
  std::string text;
  try {
    text = header.dump();
  } catch (const json::type_error&) {
    throw data_error("{}: a tensor name or a metadata entry is not valid UTF-8, which safetensors needs. Rename it.",
                     path);
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  text.replace(text.find(seal_mark) + seal_mark.size(), seal_zeros.size(), hex(XXH3_64bits(text.data(), text.size())));
  const std::uint64_t length = text.size();
  std::string result(sizeof length, '\0');
  std::memcpy(result.data(), &length, sizeof length);
  return result + text;
}

}  // namespace

void save_safetensors(const std::string& path, const std::vector<StridedTensor>& floats,
                      const std::map<std::string, TensorView>& others,
                      const std::map<std::string, std::string>& metadata) {
  const std::vector<Source> sources = collect(floats, others);
  Staging staging;
  json header;
  header["__metadata__"] = metadata;
  header["__metadata__"]["xxh3"] = seal_zeros;
  std::uint64_t offset = 0;
  for (const Source& source : sources) {
    header["__metadata__"][std::string(checksum_prefix) + source.name] = checksum(source, staging);
    if (header.contains(source.name)) throw internal_error("safetensors: tensor \"{}\" is given twice", source.name);
    header[source.name] = {
        {"dtype", source.dtype}, {"shape", source.shape}, {"data_offsets", {offset, offset + source.bytes}}};
    offset += source.bytes;
  }
  StagedFile file(path);
  const std::string head = encode_header(header, path);
  file.append(std::as_bytes(std::span(head)));
  for (const Source& source : sources) {
    for_each_piece(source, staging, [&](std::span<const std::byte> piece) { file.append(piece); });
  }
  file.commit();
}

// ---- Reader --------------------------------------------------------------------------------------------------------
namespace {

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
    if (length > size - sizeof length || length > largest_header) {
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
    if (!seal || *seal != hex(XXH3_64bits(header.data(), header.size())) || checksums.size() != entries.size()) {
      throw corrupt(path, "the header does not match its checksum");
    }
  }

  void parse_metadata(const json& value) {
    if (!value.is_object()) throw corrupt(path, "__metadata__ is not an object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) throw corrupt(path, "__metadata__ entry \"{}\" is not a string", key);
      if (key.starts_with(checksum_prefix)) {
        checksums[key.substr(checksum_prefix.size())] = text.get<std::string>();
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
  impl_->read_checked(name, chunk_bytes, [&](std::span<const std::byte> piece, std::size_t at) {
    std::copy(piece.begin(), piece.end(), all.begin() + static_cast<std::ptrdiff_t>(at));
  });
  return all;
}

void SafetensorsFile::verify() const {
  for (const std::string& name : names()) {
    impl_->read_checked(name, chunk_bytes, [](std::span<const std::byte>, std::size_t) {});
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
