#pragma once
#include "kernels/view.hpp"

namespace esmm {

class Backend;

/// to[r, c] = from[r, c]; both [R, C], not overlapping. Asynchronous on a device. Throws Error (internal) if shapes
/// disagree.
void copy_matrix(Backend& backend, MatrixView<const float> from, MatrixView<float> to);

}  // namespace esmm
