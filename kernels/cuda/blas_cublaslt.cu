#include <cublasLt.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "kernels/cuda/blas.hpp"

namespace esmm::cuda {

namespace {

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  if (status == CUBLAS_STATUS_ALLOC_FAILED) {
    throw device_error("{}: the GPU is out of memory. Lower --batch-size or --dim, or raise --min-count.", what);
  }
  throw internal_error("{}: {}", what, cublasLtGetStatusString(status));
}

/// What cuBLASLt's choice of a kernel depends on.
struct ProductKey {
  bool is_bf16;
  Transposed transposed;
  std::int64_t m, n, k;
  std::int64_t a_stride, b_stride, out_stride;
  std::uint32_t a_alignment, b_alignment, out_alignment;  // in bytes, of the first element of every row
  int batch;                                              // one product, or two at these distances
  std::int64_t a_step, b_step, out_step;
  auto operator<=>(const ProductKey&) const = default;
};

/// The largest power of two, up to cuBLASLt's own 256, that divides all of the values.
std::uint32_t alignment(std::initializer_list<std::uintptr_t> values) {
  std::uintptr_t bits = 256;
  for (const std::uintptr_t value : values) bits |= value;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

template <class T>
std::uint32_t row_alignment(MatrixView<T> view, std::int64_t step) {
  const auto bytes = [](std::int64_t elements) { return static_cast<std::uintptr_t>(elements) * sizeof(T); };
  return alignment({reinterpret_cast<std::uintptr_t>(view.data), bytes(view.stride), bytes(step)});
}

/// Elements from one view to the other, negative if there is no whole number of them.
template <class T>
std::int64_t distance(MatrixView<T> from, MatrixView<T> to) {
  const auto begin = reinterpret_cast<std::uintptr_t>(from.data), end = reinterpret_cast<std::uintptr_t>(to.data);
  return end < begin || (end - begin) % sizeof(T) != 0 ? -1 : static_cast<std::int64_t>((end - begin) / sizeof(T));
}

/// A handle of cuBLASLt's C interface.
template <class Handle, cublasStatus_t (*destroy)(Handle)>
struct Owned {
  Owned() = default;
  ~Owned() {
    if (handle != nullptr) (void)destroy(handle);
  }
  Owned(Owned&& other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(handle, other.handle);
    return *this;
  }
  Handle handle = nullptr;
};
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Operation = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

/// cuBLASLt stores columns: a row-major [rows, cols] is its cols x rows matrix of that leading dimension.
template <class T>
Layout make_layout(MatrixView<T> view, cudaDataType_t type, int batch, std::int64_t step) {
  Layout layout;
  check(cublasLtMatrixLayoutCreate(&layout.handle, type, static_cast<std::uint64_t>(view.cols),
                                   static_cast<std::uint64_t>(view.rows), view.stride),
        "cublasLtMatrixLayoutCreate");
  const auto set = [&](cublasLtMatrixLayoutAttribute_t attribute, const auto& value) {
    check(cublasLtMatrixLayoutSetAttribute(layout.handle, attribute, &value, sizeof(value)), "a matrix layout");
  };
  if (batch > 1) {
    set(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, std::int32_t{batch});
    set(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, step);
  }
  return layout;
}

/// How products of one key are computed.
struct Plan {
  Operation operation;
  Layout a, b, out;
  cublasLtMatmulAlgo_t algorithm{};
};

}  // namespace

struct Blas::Implementation {
  static constexpr std::int64_t kWorkspaceBytes = std::int64_t{32} << 20;  // cuBLAS's own default for sm_90

  Implementation(CommandQueue& queue_, DeviceMemory& memory) : queue(queue_), workspace(memory, kWorkspaceBytes) {
    check(cublasLtCreate(&handle.handle), "cublasLtCreate");
  }

  /// `second` is the first product itself when there is only one.
  template <class T>
  void multiply(const Product<T>& product, int batch, const Product<T>& second) {
    if (product.out.empty()) return;
    if (product.depth() == 0) return zero(product, batch, second);
    const std::int64_t a_step = distance(product.a, second.a), b_step = distance(product.b, second.b),
                       out_step = distance(product.out, second.out);
    if (a_step < 0 || b_step < 0 || out_step < 0) {
      multiply(product, 1, product);
      return multiply(second, 1, second);
    }
    const ProductKey key{.is_bf16 = !std::is_same_v<T, float>,
                         .transposed = product.transposed,
                         .m = product.out.rows,
                         .n = product.out.cols,
                         .k = product.depth(),
                         .a_stride = product.a.stride,
                         .b_stride = product.b.stride,
                         .out_stride = product.out.stride,
                         .a_alignment = row_alignment(product.a, a_step),
                         .b_alignment = row_alignment(product.b, b_step),
                         .out_alignment = row_alignment(product.out, out_step),
                         .batch = batch,
                         .a_step = a_step,
                         .b_step = b_step,
                         .out_step = out_step};
    auto found = plans.find(key);
    if (found == plans.end()) found = plans.emplace(key, make_plan(product, key)).first;
    const Plan& plan = found->second;
    queue.enqueue([&](cudaStream_t stream) {
      const float one = 1.0F, nothing = 0.0F;
      check(cublasLtMatmul(handle.handle, plan.operation.handle, &one, product.b.data, plan.b.handle, product.a.data,
                           plan.a.handle, &nothing, product.out.data, plan.out.handle, product.out.data,
                           plan.out.handle, &plan.algorithm, workspace.data(), kWorkspaceBytes, stream),
            "cublasLtMatmul");
    });
  }

 private:
  template <class T>
  void zero(const Product<T>& product, int batch, const Product<T>& second) {
    for (int i = 0; i < batch; ++i) {
      const MatrixView<float> out = i == 0 ? product.out : second.out;
      queue.enqueue([&](cudaStream_t stream) {
        cuda::check(cudaMemset2DAsync(out.data, static_cast<std::size_t>(out.stride) * sizeof(float), 0,
                                      static_cast<std::size_t>(out.cols) * sizeof(float),
                                      static_cast<std::size_t>(out.rows), stream),
                    "cudaMemset2DAsync");
      });
    }
  }

  /// outᵀ = bᵀ·aᵀ in cuBLASLt's column-major terms: its first matrix is b.
  template <class T>
  Plan make_plan(const Product<T>& product, const ProductKey& key) const {
    const cudaDataType_t type = key.is_bf16 ? CUDA_R_16BF : CUDA_R_32F;
    Plan plan;
    check(cublasLtMatmulDescCreate(&plan.operation.handle, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
    const auto set = [&](cublasLtMatmulDescAttributes_t attribute, bool transposed) {
      const cublasOperation_t operation = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
      check(cublasLtMatmulDescSetAttribute(plan.operation.handle, attribute, &operation, sizeof(operation)),
            "a matrix product's description");
    };
    set(CUBLASLT_MATMUL_DESC_TRANSA, key.transposed == Transposed::b);
    set(CUBLASLT_MATMUL_DESC_TRANSB, key.transposed == Transposed::a);
    plan.a = make_layout(product.a, type, key.batch, key.a_step);
    plan.b = make_layout(product.b, type, key.batch, key.b_step);
    plan.out = make_layout(product.out, CUDA_R_32F, key.batch, key.out_step);
    plan.algorithm = best_algorithm(plan, key);
    return plan;
  }

  cublasLtMatmulAlgo_t best_algorithm(const Plan& plan, const ProductKey& key) const {
    Preference preference;
    check(cublasLtMatmulPreferenceCreate(&preference.handle), "cublasLtMatmulPreferenceCreate");
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      check(cublasLtMatmulPreferenceSetAttribute(preference.handle, attribute, &value, sizeof(value)),
            "preferences of a matrix product");
    };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspaceBytes});
    // Parts of a split sum are added in a fixed order, by a pass of its own.
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.b_alignment);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.a_alignment);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.out_alignment);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.out_alignment);
    cublasLtMatmulHeuristicResult_t result{};
    int count = 0;
    check(cublasLtMatmulAlgoGetHeuristic(handle.handle, plan.operation.handle, plan.b.handle, plan.a.handle,
                                         plan.out.handle, plan.out.handle, preference.handle, 1, &result, &count),
          "cublasLtMatmulAlgoGetHeuristic");
    if (count == 0) {
      throw internal_error("cuBLASLt knows no way to multiply [{}, {}] by [{}, {}]", key.m, key.k, key.k, key.n);
    }
    return result.algo;
  }

  CommandQueue& queue;
  Buffer<unsigned char> workspace;
  Owned<cublasLtHandle_t, cublasLtDestroy> handle;
  std::map<ProductKey, Plan> plans;
};

Blas::Blas(CommandQueue& queue, DeviceMemory& memory)
    : implementation_(std::make_unique<Implementation>(queue, memory)) {}
Blas::~Blas() = default;

void Blas::multiply(const Product<float>& product) {
  implementation_->multiply(product, 1, product);
}
void Blas::multiply(const Product<__nv_bfloat16>& product) {
  implementation_->multiply(product, 1, product);
}
void Blas::multiply(const ProductPair<float>& pair) {
  implementation_->multiply(pair[0], 2, pair[1]);
}
void Blas::multiply(const ProductPair<__nv_bfloat16>& pair) {
  implementation_->multiply(pair[0], 2, pair[1]);
}

}  // namespace esmm::cuda
