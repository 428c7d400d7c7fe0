#pragma once
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/synth_world.hpp"

namespace esmm::synth {

/// Writes rows in the raw Ali-CCP layout, appending to a string.
class RowWriter {
 public:
  explicit RowWriter(const Profile& profile);

  /// common_feature_index,feature_num,features
  void common(std::string_view key, std::span<const Feature> features, std::string& out) const;
  /// sample_id,click,conversion,common_feature_index,feature_num,features
  void skeleton(std::uint64_t sample_id, bool click, bool conversion, std::string_view key,
                std::span<const Feature> features, std::string& out) const;
  static constexpr std::string_view truth_header = "sample_id,pctr,pcvr,conversion_if_clicked\n";
  static void truth(std::uint64_t sample_id, const Truth& truth, bool conversion_if_clicked, std::string& out);

 private:
  void features(std::span<const Feature> features, std::string& out) const;

  std::vector<std::string> prefixes_;  // [F] "205\x02"
  std::vector<std::string> suffixes_;  // [max_count + 1] "\x03" "2.39790" "\x01"
};

/// A file that is written under a temporary name (hidden, in the same directory) and removed again unless committed.
/// Throws Error (io).
class PendingFile {
 public:
  PendingFile(const std::string& directory, const std::string& name);
  ~PendingFile();
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;

  void write(std::string_view text);
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  /// Flushes, closes and gives the file its name.
  void commit();

 private:
  std::string path_, temporary_path_;
  std::FILE* file_;
  std::uint64_t bytes_ = 0;
};

}  // namespace esmm::synth
