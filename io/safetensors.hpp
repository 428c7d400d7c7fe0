#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/buffer.hpp"

namespace esmm {

/// A tensor to be written: bytes are little-endian, row-major. dtype as in safetensors: "F32", "F64", "I64", "U64",
/// "U8".
struct TensorView {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
};
/// Rows with a stride, written without the padding: `data` [rows, cols], element (r, c) at r * stride + c. The file
/// does not depend on stride and memory.
struct StridedTensor {
  std::string name;
  const float* data = nullptr;
  std::int64_t rows = 0, cols = 0, stride = 0;
  std::vector<std::int64_t> shape;  // what the header says; product == rows * cols
  const Memory* memory = nullptr;   // where `data` is; null: the host's
};

/// Writes tensors in the safetensors format (wider dtypes first so that each is aligned, then by name), to a temporary
/// name, synced, then renamed. `metadata` goes to __metadata__, with an XXH3 checksum of each tensor under
/// "xxh3:<name>" and one of the header (with zeros in its place) under "xxh3". Strided tensors are streamed, those of
/// another memory through a block of some MB. Throws Error (io; data: a name that is not UTF-8).
void save_safetensors(const std::string& path, const std::vector<StridedTensor>& floats,
                      const std::map<std::string, TensorView>& others,
                      const std::map<std::string, std::string>& metadata);

/// A safetensors file. Validates the header against its checksum and the file's size before anything is allocated for a
/// tensor, and each tensor against its checksum as it is read (files written by other software have none). Not
/// memory-mapped: a file that is cut short meanwhile is an Error (io), not a signal. Throws Error (data) on anything
/// malformed.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;
  /// The writer's entries, without the checksums.
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const;
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] bool has(const std::string& name) const;
  [[nodiscard]] std::vector<std::int64_t> shape(const std::string& name) const;
  /// Copies a float tensor of rows x cols into strided memory, `memory`'s or (null) the host's; what lies between the
  /// rows stays. Throws Error (data) if it is absent, not F32, of another shape, or (then `data` is overwritten)
  /// damaged.
  void read(const std::string& name, float* data, std::int64_t rows, std::int64_t cols, std::int64_t stride,
            Memory* memory = nullptr) const;
  /// The tensor's bytes (checked against its checksum), whatever its dtype.
  [[nodiscard]] std::vector<std::byte> bytes(const std::string& name) const;
  /// Reads every tensor against its checksum.
  void verify() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace esmm
