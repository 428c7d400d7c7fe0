#include "io/synth_text.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>

#include "kernels/error.hpp"

namespace esmm::synth {
namespace {

constexpr char record_separator = '\x01', field_separator = '\x02', value_separator = '\x03';

void append_number(std::uint64_t number, std::string& out) {
  const fmt::format_int text(number);
  out.append(text.data(), text.size());
}

// The shortest decimal that reads back as the same float.
void append_probability(double probability, std::string& out) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, static_cast<float>(probability)).ptr;
  out.append(text, end);
}

}  // namespace

RowWriter::RowWriter(const Profile& profile) {
  for (const FieldSpec& field : profile.fields) prefixes_.push_back(std::string(field.name) + field_separator);
  for (int count = 0; count <= max_count; ++count) {
    const std::string value = count == 0 ? "1.0" : fmt::format("{:.5f}", count_value(count));
    suffixes_.push_back(value_separator + value + record_separator);
  }
}

void RowWriter::common(std::string_view key, std::span<const Feature> row, std::string& out) const {
  out += key;
  features(row, out);
}

void RowWriter::skeleton(std::uint64_t sample_id, bool click, bool conversion, std::string_view key,
                         std::span<const Feature> row, std::string& out) const {
  append_number(sample_id, out);
  out += click ? ",1," : ",0,";
  out += conversion ? "1," : "0,";
  out += key;
  features(row, out);
}

void RowWriter::truth(std::uint64_t sample_id, const Truth& truth, bool conversion_if_clicked, std::string& out) {
  append_number(sample_id, out);
  out += ',';
  append_probability(truth.pctr, out);
  out += ',';
  append_probability(truth.pcvr, out);
  out += conversion_if_clicked ? ",1\n" : ",0\n";
}

// The last two columns and the end of the line.
void RowWriter::features(std::span<const Feature> row, std::string& out) const {
  out += ',';
  append_number(row.size(), out);
  out += ',';
  for (const Feature& feature : row) {
    out += prefixes_[feature.field];
    append_number(feature_number(feature), out);
    out += suffixes_[feature.count];
  }
  if (!row.empty()) out.pop_back();  // the last record's separator
  out += '\n';
}

PendingFile::PendingFile(const std::string& directory, const std::string& name)
    : path_((std::filesystem::path(directory) / name).string()),
      temporary_path_((std::filesystem::path(directory) / ("." + name + ".tmp")).string()),
      file_(std::fopen(temporary_path_.c_str(), "wb")) {
  if (file_ == nullptr) {
    throw io_error("{}: cannot create: {}. Choose a directory that can be written, with --out.", temporary_path_,
                   std::strerror(errno));
  }
  std::setvbuf(file_, nullptr, _IONBF, 0);  // it is given large pieces only
}

PendingFile::~PendingFile() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  std::remove(temporary_path_.c_str());
}

void PendingFile::write(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), file_) != text.size()) {
    throw io_error("{}: cannot write: {}. Free some space or choose another --out.", path_, std::strerror(errno));
  }
  bytes_ += text.size();
}

void PendingFile::commit() {
  const bool closed = std::fclose(file_) == 0;
  file_ = nullptr;
  if (!closed || std::rename(temporary_path_.c_str(), path_.c_str()) != 0) {
    const int reason = errno;
    std::remove(temporary_path_.c_str());
    throw io_error("{}: cannot finish: {}. Free some space or choose another --out.", path_, std::strerror(reason));
  }
}

}  // namespace esmm::synth
