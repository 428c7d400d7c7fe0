#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "io/packed.hpp"

namespace esmm {

/// What a packed dataset holds, for scripts and for people; both say the same. docs/cli.md describes the members.
[[nodiscard]] nlohmann::ordered_json dataset_json(const PackedDataset& dataset);
[[nodiscard]] std::string dataset_text(const PackedDataset& dataset);

/// The tables of a vocabulary: sizes, and what --min-count kept.
[[nodiscard]] nlohmann::ordered_json vocabulary_json(const Vocabulary& vocabulary);
[[nodiscard]] std::string vocabulary_text(const Vocabulary& vocabulary);

}  // namespace esmm
