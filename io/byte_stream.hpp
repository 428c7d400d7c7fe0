#pragma once
#include <cstddef>
#include <memory>
#include <string>

namespace esmm {

/// The bytes of a file from front to back, decompressed when its first bytes are those of gzip or zstd (several
/// members or frames one after another included).
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  /// Fills up to `size` bytes; fewer only at the end. Throws Error (data) naming the file when the compressed data is
  /// truncated or corrupt, (io) when the system cannot read it.
  [[nodiscard]] virtual std::size_t read(char* to, std::size_t size) = 0;
};

/// Throws Error (io) with the system's message when the file cannot be opened.
[[nodiscard]] std::unique_ptr<ByteStream> open_bytes(const std::string& path);

}  // namespace esmm
