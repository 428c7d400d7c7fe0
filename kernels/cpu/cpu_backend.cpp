#include "kernels/cpu/cpu_backend.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>

#include "kernels/cpu/bf16_product.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/error.hpp"

namespace esmm::cpu {

namespace {
constexpr std::align_val_t kAlignment{64};  // a cache line, and one AVX-512 register

/// Embedding rows are read at random: with pages of 4 KB nearly every row would miss the TLB. A refusal does no harm.
void prefer_huge_pages(void* pointer, std::size_t bytes) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20U;
  if (bytes < 2 * kHugePage) return;
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  const std::uintptr_t begin = (address + page - 1) / page * page;
  (void)madvise(reinterpret_cast<void*>(begin), address + bytes - begin, MADV_HUGEPAGE);
}

}  // namespace

void* CpuMemory::allocate(std::size_t bytes) {
  void* pointer = ::operator new(bytes == 0 ? 1 : bytes, kAlignment, std::nothrow);
  if (pointer == nullptr) {
    throw device_error("out of memory: {} MB more could not be had. Lower --batch-size or --dim, or raise --min-count.",
                       bytes >> 20);
  }
  prefer_huge_pages(pointer, bytes);
  return pointer;
}
void CpuMemory::release(void* pointer) noexcept {
  ::operator delete(pointer, kAlignment);
}
void CpuMemory::copy_from_host(void* to, const void* from, std::size_t bytes) {
  std::memcpy(to, from, bytes);
}
void CpuMemory::copy_to_host(void* to, const void* from, std::size_t bytes) const {
  std::memcpy(to, from, bytes);
}
void CpuMemory::zero(void* to, std::size_t bytes) {
  constexpr std::size_t kLarge = std::size_t{64} << 20U, kPiece = std::size_t{8} << 20U;
  if (pool_ == nullptr || bytes < kLarge) {
    std::memset(to, 0, bytes);
    return;
  }
  pool_->for_each_chunk(static_cast<std::int64_t>((bytes + kPiece - 1) / kPiece), [&](std::int64_t piece, int) {
    const std::size_t begin = static_cast<std::size_t>(piece) * kPiece;
    std::memset(static_cast<char*>(to) + begin, 0, std::min(kPiece, bytes - begin));
  });
}

CpuBackend::CpuBackend(int threads, Precision precision) : pool_(threads), precision_(precision) {
  prepare_gemm();
}
CpuBackend::~CpuBackend() = default;

void CpuBackend::copy(void* to, const void* from, std::size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);  // memcpy may not see the null pointer of an empty view
}

void CpuBackend::upload(void* to, const void* from, std::size_t bytes) {
  copy(to, from, bytes);
}

namespace {
class PassedFence final : public Fence {
 public:
  void wait() override {}
};
}  // namespace

std::unique_ptr<Fence> CpuBackend::make_fence() {
  return std::make_unique<PassedFence>();
}

void CpuBackend::copy_matrix(MatrixView<const float> from, MatrixView<float> to) {
  if (from.empty()) return;
  for (std::int64_t r = 0; r < from.rows; ++r) {
    std::memcpy(to.row(r), from.row(r), static_cast<std::size_t>(from.cols) * sizeof(float));
  }
}

}  // namespace esmm::cpu

namespace esmm {
std::unique_ptr<Backend> make_cpu_backend(int threads, Precision precision) {
  return std::make_unique<cpu::CpuBackend>(threads, precision);
}
std::unique_ptr<Backend> make_cpu_backend(int threads) {
  return make_cpu_backend(threads, Precision::fp32);
}
bool cpu_multiplies_bf16() {
  return cpu::has_bf16_instructions();
}
}  // namespace esmm
