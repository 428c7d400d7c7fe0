#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/file.hpp"

namespace esmm {

/// A named number of one step.
using Scalar = std::pair<std::string, double>;

/// Scalars as TensorBoard reads them: TFRecords of Event messages. A record is its length (64 bits), that length's
/// masked CRC-32C, the message, and its masked CRC-32C. Source: tensorflow/core/lib/io/record_writer.h,
/// io/events/event.proto.
class EventFile {
 public:
  /// Creates events.out.tfevents.<seconds>.<host>.<process> in `directory`, named so that TensorBoard reads it after
  /// those that are there. From `first_step` on their events are void: a resumed run writes them again. Throws Error
  /// (io).
  EventFile(const std::string& directory, std::int64_t first_step);

  /// Appends the scalars of one step, as floats. Throws Error (io).
  void add(std::int64_t step, std::span<const Scalar> scalars);

  [[nodiscard]] const std::string& path() const { return file_.path(); }

 private:
  void append(const std::string& message);
  File file_;
};

/// CRC-32C of the bytes, rotated right by 15 bits, plus a constant: how a TFRecord holds it.
[[nodiscard]] std::uint32_t masked_crc32c(std::span<const std::byte> bytes);

}  // namespace esmm
