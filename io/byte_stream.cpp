#include "io/byte_stream.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/error.hpp"

namespace esmm {
namespace {

constexpr std::size_t kInputBytes = std::size_t{1} << 18;

/// An open file; knows its name for messages.
class InputFile {
 public:
  explicit InputFile(std::string path)
      : path_(std::move(path)), descriptor_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) throw io_error("{}: cannot open: {}", path_, std::strerror(errno));
    ::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_SEQUENTIAL);
  }
  ~InputFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  InputFile(InputFile&& other) noexcept
      : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
  InputFile& operator=(InputFile&&) = delete;

  /// Fewer than `size` bytes only at the end of the file.
  std::size_t read(char* to, std::size_t size) {
    std::size_t done = 0;
    while (done < size) {
      const ssize_t got = ::read(descriptor_, to + done, size - done);
      if (got == 0) break;
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw io_error("{}: cannot read: {}", path_, std::strerror(errno));
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  [[nodiscard]] std::uint32_t magic() const {
    std::array<unsigned char, 4> bytes{};
    // A failure must not make compressed data plain; only what cannot be sought is taken as it comes.
    if (::pread(descriptor_, bytes.data(), bytes.size(), 0) < 0 && errno != ESPIPE)
      throw io_error("{}: cannot read: {}", path_, std::strerror(errno));
    return bytes[0] | bytes[1] << 8U | bytes[2] << 16U | static_cast<std::uint32_t>(bytes[3]) << 24U;
  }

  [[nodiscard]] Error truncated(const char* format) const {
    return data_error("{}: truncated {} data: the file ends early. Copy or download it again.", path_, format);
  }
  [[nodiscard]] Error corrupt(const char* format, const char* why) const {
    return data_error("{}: corrupt {} data ({}). Copy or download it again.", path_, format, why);
  }

 private:
  std::string path_;
  int descriptor_;
};

class PlainStream final : public ByteStream {
 public:
  explicit PlainStream(InputFile file) : file_(std::move(file)) {}
  std::size_t read(char* to, std::size_t size) override { return file_.read(to, size); }

 private:
  InputFile file_;
};

class GzipStream final : public ByteStream {
 public:
  explicit GzipStream(InputFile file) : file_(std::move(file)), input_(kInputBytes) {
    constexpr int gzip_only = 15 + 16;
    if (inflateInit2(&inflater_, gzip_only) != Z_OK) throw internal_error("zlib: cannot start");
  }
  ~GzipStream() override { inflateEnd(&inflater_); }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  std::size_t read(char* to, std::size_t size) override {
    std::size_t done = 0;
    while (done < size && refill()) {
      inflater_.next_out = reinterpret_cast<Bytef*>(to + done);
      inflater_.avail_out = static_cast<uInt>(std::min<std::size_t>(size - done, 1U << 30));
      const uInt room = inflater_.avail_out;
      const int status = inflate(&inflater_, Z_NO_FLUSH);
      done += room - inflater_.avail_out;
      if (status == Z_STREAM_END) {
        in_member_ = false;
        after_member_ = true;
        inflateReset(&inflater_);
      } else if (status == Z_BUF_ERROR) {
        throw file_.truncated("gzip");  // no input left and none to come
      } else if (status != Z_OK) {
        throw file_.corrupt("gzip", inflater_.msg == nullptr ? "unreadable" : inflater_.msg);
      } else {
        in_member_ = true;
        after_member_ = false;
      }
    }
    return done;
  }

 private:
  /// False at the proper end: no input left and no member under way. Zeros after a member are padding, of tapes and
  /// block devices.
  bool refill() {
    for (;;) {
      while (after_member_ && inflater_.avail_in > 0 && *inflater_.next_in == 0) {
        ++inflater_.next_in;
        --inflater_.avail_in;
      }
      if (inflater_.avail_in > 0) return true;
      const std::size_t got = file_.read(input_.data(), input_.size());
      inflater_.next_in = reinterpret_cast<Bytef*>(input_.data());
      inflater_.avail_in = static_cast<uInt>(got);
      if (got == 0) return in_member_;
      if (!after_member_) return true;
    }
  }

  InputFile file_;
  std::vector<char> input_;
  z_stream inflater_{};
  bool in_member_ = false, after_member_ = false;
};

class ZstdStream final : public ByteStream {
 public:
  explicit ZstdStream(InputFile file) : file_(std::move(file)), input_(kInputBytes), decoder_(ZSTD_createDStream()) {
    if (decoder_ == nullptr) throw internal_error("zstd: cannot start");
  }
  ~ZstdStream() override { ZSTD_freeDStream(decoder_); }
  ZstdStream(const ZstdStream&) = delete;
  ZstdStream& operator=(const ZstdStream&) = delete;

  std::size_t read(char* to, std::size_t size) override {
    ZSTD_outBuffer output{to, size, 0};
    while (output.pos < size && refill()) {
      const std::size_t before = output.pos;
      const bool had_input = unread_.pos < unread_.size;
      const std::size_t status = ZSTD_decompressStream(decoder_, &output, &unread_);
      if (ZSTD_isError(status) != 0U) throw file_.corrupt("zstd", ZSTD_getErrorName(status));
      in_frame_ = status != 0;
      if (!had_input && output.pos == before && in_frame_) throw file_.truncated("zstd");
    }
    return output.pos;
  }

 private:
  /// False at the proper end: no input left and no frame under way.
  bool refill() {
    if (unread_.pos < unread_.size) return true;
    const std::size_t got = file_.read(input_.data(), input_.size());
    unread_ = {input_.data(), got, 0};
    return got > 0 || in_frame_;
  }

  InputFile file_;
  std::vector<char> input_;
  ZSTD_DStream* decoder_;
  ZSTD_inBuffer unread_{nullptr, 0, 0};
  bool in_frame_ = false;
};

}  // namespace

std::unique_ptr<ByteStream> open_bytes(const std::string& path) {
  InputFile file(path);
  const std::uint32_t magic = file.magic();
  const bool skippable = (magic & 0xFFFFFFF0U) == ZSTD_MAGIC_SKIPPABLE_START;  // pzstd begins with such a frame
  if ((magic & 0xFFFFU) == 0x8B1FU) return std::make_unique<GzipStream>(std::move(file));
  if (magic == ZSTD_MAGICNUMBER || skippable) return std::make_unique<ZstdStream>(std::move(file));
  return std::make_unique<PlainStream>(std::move(file));
}

}  // namespace esmm
