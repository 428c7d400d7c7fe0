#pragma once
#include <array>
#include <vector>

#include "kernels/cuda/tower_pass.hpp"

// Sums over impressions in a fixed order: bias and slope gradients, the output layer's gradients, and the first layer's
// gradient over the impressions of each common row. A kernel writes one partial sum per tile; a second one adds them.
namespace esmm::ESMM_DEVICE_NAMESPACE {

/// Where the column sums lie in a tile's row of partial sums: per hidden layer the bias gradients of both towers, for
/// PReLU then the slope gradients; behind the layers the output layer's weights and biases.
class VectorColumns {
 public:
  explicit VectorColumns(const TowerPass& pass) : pass_(pass) {}
  [[nodiscard]] std::int64_t bias(std::size_t layer) const {
    std::int64_t units = 0;
    for (std::size_t l = 0; l < layer; ++l) units += kTowers * pass_.width(l);
    return units * (pass_.is_prelu() ? 2 : 1);
  }
  [[nodiscard]] std::int64_t slope(std::size_t layer) const { return bias(layer) + kTowers * pass_.width(layer); }
  [[nodiscard]] std::int64_t output_weight() const { return bias(pass_.hidden_layers()); }
  [[nodiscard]] std::int64_t output_bias() const {
    return output_weight() + kTowers * pass_.width(pass_.hidden_layers() - 1);
  }
  [[nodiscard]] std::int64_t count() const { return output_bias() + kTowers; }

 private:
  const TowerPass& pass_;
};

/// Room for partial sums in the workspace: UserSums::head, then [tiles, VectorColumns::count()].
void reserve_partial_sums(const TowerPass& pass);
[[nodiscard]] MatrixView<float> vector_sums(const TowerPass& pass);

/// Adds the tiles' column sums into the gradients that they belong to.
void sum_tiles(CommandQueue& queue, const TowerPass& pass, const TowerViews<float>& gradients);

/// The first layer's gradient summed over the impressions of each common row. Tiles do not care where groups begin: a
/// group's sum over the tile that it begins in goes to `sum`, over every further tile to that tile's row of `head`.
struct UserSums {
  const std::uint32_t* user = nullptr;          // [B]; padded rows belong to common row U, which there is none
  const std::uint32_t* common_begin = nullptr;  // [U + 1]
  MatrixView<float> sum;                        // [U, 2*H1]
  float* head = nullptr;                        // [tiles, 2*H1]
};
[[nodiscard]] UserSums user_sums(const TowerPass& pass);

/// Which common row every impression belongs to, into workspace.user.
void find_users(CommandQueue& queue, const TowerPass& pass);
/// Adds the rows of `head` to the sums of the groups that run across tiles, in order; empty groups become 0.
void join_users(CommandQueue& queue, const TowerPass& pass);

/// Copies of matrices as another kernel wants them: of type T, transposed, padded with zeros. One kernel for all.
template <class T>
class Packing {
 public:
  /// `to` is at least as large as `from`, or its transpose; what is beyond it becomes 0. to.stride is a multiple of 4.
  void add(MatrixView<const float> from, MatrixView<T> to, bool transposed = false);
  void enqueue(CommandQueue& queue);

  struct Matrix {
    const float* from;
    std::int64_t row_step, column_step;  // from one element of a row, or column, of `to` to the next
    std::int64_t rows, columns;          // that `from` has, seen as `to`
    MatrixView<T> to;
    std::int64_t first_item;  // among the groups of four elements of all matrices
  };
  static constexpr int kMost = 24;  // per launch

 private:
  std::vector<Matrix> matrices_;
};

}  // namespace esmm::ESMM_DEVICE_NAMESPACE
