#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/leaks.hpp"
#include "io/packed.hpp"

namespace esmm {

/// What a packed dataset holds, for scripts and for people; both say the same. docs/cli.md describes the members.
[[nodiscard]] nlohmann::ordered_json dataset_json(const PackedDataset& dataset);
[[nodiscard]] std::string dataset_text(const PackedDataset& dataset);

/// One line per leak, and one where conversions without a click were kept.
[[nodiscard]] std::vector<std::string> dataset_warnings(const PackedDataset& dataset, const std::vector<Leak>& leaks);

/// The tables of a vocabulary: sizes, and what --min-count kept.
[[nodiscard]] nlohmann::ordered_json vocabulary_json(const Vocabulary& vocabulary);
[[nodiscard]] std::string vocabulary_text(const Vocabulary& vocabulary);

}  // namespace esmm
