#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "io/packed.hpp"

namespace esmm::test {

/// A directory that is removed with everything in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// Both halves of a small synthetic log, packed with the train half's vocabulary into DIR/train and DIR/test.
struct SmallLog {
  std::shared_ptr<const PackedDataset> train, test;
};
SmallLog make_small_log(const TemporaryDirectory& directory, std::uint64_t rows, std::uint64_t seed);

}  // namespace esmm::test
