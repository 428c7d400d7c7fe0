#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/pack.hpp"
#include "io/packed.hpp"

namespace esmm {

/// How to turn a PATH of the command line into a packed dataset.
struct DatasetRequest {
  std::string path;
  Half half = Half::train;               // of a directory that holds both
  std::string cache_directory;           // where raw input is packed to, under its fingerprint
  std::shared_ptr<const Schema> schema;  // null: the format's own, or guessed
  bool labels_required = true;
  PackOptions pack;  // pack.vocabulary given: a packed dataset made with another one is Error (data)
  /// Called with the files before raw input is packed, to add hooks that show progress; may be empty.
  std::function<void(PackOptions& options, const std::vector<std::string>& files)> before_packing;
};

/// Opens a packed dataset, or packs raw input into the cache first and reuses it while its fingerprint (names, sizes,
/// modification times, options, vocabulary, schema) holds. Logs which of these it does.
[[nodiscard]] std::shared_ptr<const PackedDataset> open_dataset(const DatasetRequest& request);

/// The vocabulary at PATH: a vocab/ directory, a packed dataset or a run.
[[nodiscard]] std::shared_ptr<const Vocabulary> load_any_vocabulary(const std::string& path);

/// The schema that the vocabulary at PATH was made with, where PATH (a packed dataset or a run) tells; else null.
[[nodiscard]] std::shared_ptr<const Schema> schema_beside(const std::string& path);

/// True for tables, whose schema is guessed where none is given.
[[nodiscard]] bool has_guessed_schema(PathKind kind);

/// True when PATH has a test half beside its train half (a raw Ali-CCP directory, or what `convert` made of one).
[[nodiscard]] bool has_test_half(const std::string& path);

}  // namespace esmm
