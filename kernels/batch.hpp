#pragma once
#include <cstdint>
#include <span>

#include "kernels/view.hpp"

namespace esmm {

/// Multi-hot bags in CSR order: bag i pools rows[offsets[i]] … rows[offsets[i+1] - 1] of the embedding arena, each
/// times its weight. Bags are laid out row-major: bag of (row r, field f) is r * fields + f. Empty `weights` means
/// all 1. On a device `rows` and `weights` may be longer than offsets.back(); the rest is ignored.
struct Bags {
  std::span<const std::uint32_t> offsets;  // [bags + 1], offsets[0] == 0
  std::span<const std::uint32_t> rows;     // [N] rows of the arena
  std::span<const float> weights;          // [N] or empty
  std::int64_t fields = 0;                 // F, bags per row

  [[nodiscard]] std::int64_t count() const {
    return offsets.empty() ? 0 : static_cast<std::int64_t>(offsets.size()) - 1;
  }
  [[nodiscard]] std::int64_t ids() const { return static_cast<std::int64_t>(rows.size()); }
};

/// One batch as the model sees it: B rows, one per impression, grouped by their common row, so that those of common row
/// u are [common_begin[u], common_begin[u+1]). Without common fields common.fields == 0 and each group is still valid.
/// On a device B and U may be padded, so that few different shapes occur: rows from `impressions` on have empty bags,
/// zeros as dense features, unspecified labels, and take no part in the loss; padded common rows have empty bags and no
/// impressions.
struct BatchView {
  Bags sample;                                  // B * Fs bags
  Bags common;                                  // U * Fc bags
  std::span<const std::uint32_t> common_begin;  // [U + 1]
  MatrixView<const float> dense;                // [B, E] normalised dense features; E may be 0
  std::span<const std::uint8_t> click;          // [B] 0 or 1
  std::span<const std::uint8_t> conversion;     // [B] 0 or 1
  std::int64_t impressions = 0;                 // real ones, at most B

  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(click.size()); }
  [[nodiscard]] std::int64_t common_rows() const {
    return common_begin.empty() ? 0 : static_cast<std::int64_t>(common_begin.size()) - 1;
  }
};

}  // namespace esmm
