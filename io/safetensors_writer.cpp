#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "io/file.hpp"
#include "io/safetensors_format.hpp"
#include "kernels/error.hpp"

namespace esmm {
namespace {

using namespace safetensors;
using nlohmann::json;

/// What the writer needs of a tensor of either kind.
struct Source {
  std::string name, dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t bytes = 0;
  const StridedTensor* floats = nullptr;  // null: contiguous
  std::span<const std::byte> contiguous;
};

/// Calls use(span of bytes) for consecutive pieces of the tensor.
template <class Use>
void for_each_piece(const Source& source, Staging& staging, Use&& use) {
  if (source.floats == nullptr) {
    for (std::uint64_t at = 0; at < source.bytes; at += kChunkBytes) {
      use(source.contiguous.subspan(static_cast<std::size_t>(at),
                                    static_cast<std::size_t>(std::min<std::uint64_t>(kChunkBytes, source.bytes - at))));
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
  text.replace(text.find(kSealMark) + kSealMark.size(), kSealZeros.size(), seal_of(text));
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
  header["__metadata__"]["xxh3"] = kSealZeros;
  std::uint64_t offset = 0;
  for (const Source& source : sources) {
    header["__metadata__"][std::string(kChecksumPrefix) + source.name] = checksum(source, staging);
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

}  // namespace esmm
